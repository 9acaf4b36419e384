"""Have plugins loaded by every program of this environment that imports TensorRT.

`enable` writes two small files into this environment's site-packages: Python then starts with a hook that waits for
`import tensorrt`, `tensorrt_rtx` or `tensorrt_lean`, and loads the plugins that fit. A plugin that cannot be loaded is
reported on stderr, and TensorRT is imported all the same.

TRTREG_AUTOLOAD=0 turns it off. `[autoload]` in the configuration file, with `allow` and `deny`, chooses plugins; so do
TRTREG_AUTOLOAD_ALLOW and TRTREG_AUTOLOAD_DENY. Python with -S reads no hook.

Examples:
  trtreg autoload enable
  trtreg autoload status
  trtreg autoload status --json
  TRTREG_AUTOLOAD_DENY=trtplugin-hswish python detect.py
  trtreg autoload disable
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _terminal

if TYPE_CHECKING:
    import argparse

    from trtreg.autoload.hook_files import Hook
    from trtreg.autoload.policy import Policy
    from trtreg.cli._plugins import Judged

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("enable", "disable", "status"), help="what to do")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/autoload.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Change the hook where that is asked for, and print how things are."""
    from trtreg.autoload import hook_files, policy
    from trtreg.cli import _plugins

    removed = False
    if arguments.action == "enable":
        hook_files.enable()
    elif arguments.action == "disable":
        removed = hook_files.disable()
    hook = hook_files.find()
    if arguments.action == "disable" and not arguments.json:
        text = "Autoload is disabled" if removed else "Autoload was not enabled"
        print(f"{text} in {hook.folder}")
        return 0
    lists, judged = policy.read(), _plugins.judge_all()
    if arguments.json:
        _print_json(hook, lists, judged, off=policy.is_off())
    else:
        _print(hook, lists, judged, off=policy.is_off())
    return 0


def _print(hook: Hook, lists: Policy, judged: tuple[Judged, ...], *, off: bool) -> None:
    if not hook.is_enabled:
        print(f"Autoload is {_terminal.bad('disabled')} in {hook.folder}")
        print("Enable it: trtreg autoload enable")
    else:
        print(f"Autoload is {_terminal.good('enabled')} by {hook.starter}")
        if not hook.is_current:
            print("The hook is of another version of trtreg; renew it: trtreg autoload enable")
    if off:
        print("TRTREG_AUTOLOAD turns it off here")
    if lists.allow is not None:
        print(f"Only {', '.join(lists.allow) or 'none'} ({lists.allow_origin})")
    if lists.deny:
        print(f"Not {', '.join(lists.deny)} ({lists.deny_origin})")
    if judged:
        print()
        _terminal.print_table(
            ("PACKAGE", "VERSION", "LOADED", "WHY NOT"),
            [
                (one.plugin.distribution, one.plugin.version, "no" if reason else "yes", reason or "")
                for one in judged
                for reason in [_reason(one, lists)]
            ],
        )


def _reason(one: Judged, lists: Policy) -> str | None:
    refusal = lists.refusal(one.plugin.distribution)
    if refusal == "denied":
        return f"denied by {lists.deny_origin}"
    if refusal == "not-allowed":
        return f"not allowed by {lists.allow_origin}"
    return None if one.fits else one.verdict


def _print_json(hook: Hook, lists: Policy, judged: tuple[Judged, ...], *, off: bool) -> None:
    _terminal.print_json(
        {
            "schema": 1,
            "enabled": hook.is_enabled,
            "current": hook.is_current,
            "off": off,
            "kind": hook.kind,
            "folder": str(hook.folder),
            "files": [str(hook.module), str(hook.starter)],
            "allow": None if lists.allow is None else [*lists.allow],
            "allow_origin": lists.allow_origin,
            "deny": [*lists.deny],
            "deny_origin": lists.deny_origin,
            "plugins": [
                {
                    "package": one.plugin.distribution,
                    "version": one.plugin.version,
                    "refusal": lists.refusal(one.plugin.distribution),
                    "loaded": _reason(one, lists) is None,
                    "reason": _reason(one, lists),
                }
                for one in judged
            ],
        }
    )
