"""What may be loaded and installed: the policy, the file that is opened, and its trial in a process of its own."""
