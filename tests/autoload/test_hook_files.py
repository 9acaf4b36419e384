"""`trtreg autoload`: its files, what it refuses, and what it prints."""

import json
import pkgutil
import re
import sys
from importlib.resources import files

import jsonschema
import pytest

from trtreg import errors
from trtreg.autoload import hook_files


def hook_of(environment):
    return hook_files.find(environment.packages)


def files_of(environment):
    return {path.name for path in environment.packages.rglob("*") if path.is_file()} - {"seen.pth"}


def test_enable_status_disable(environment, plugins):
    done = environment.trtreg("autoload", "status")
    assert done.stdout.startswith(
        f"Autoload is disabled in {environment.packages}\nEnable it: trtreg autoload enable\n"
    )
    for _ in range(2):
        done = environment.trtreg("autoload", "enable")
        assert done.stdout.startswith(f"Autoload is enabled by {hook_of(environment).starter}\n")
    assert hook_of(environment).is_enabled
    assert hook_of(environment).is_current
    done = environment.trtreg("autoload", "status", TRTREG_AUTOLOAD_DENY="trtplugin-one", TRTREG_AUTOLOAD="0")
    assert "TRTREG_AUTOLOAD turns it off here\nNot trtplugin-one (TRTREG_AUTOLOAD_DENY)\n" in done.stdout
    assert re.search(r"^trtplugin-one +1\.0 +no +denied by TRTREG_AUTOLOAD_DENY$", done.stdout, re.MULTILINE)
    assert re.search(r"^trtplugin-two +1\.0 +yes$", done.stdout, re.MULTILINE)
    assert environment.trtreg("autoload", "disable").stdout == f"Autoload is disabled in {environment.packages}\n"
    assert files_of(environment) == set()
    assert environment.trtreg("autoload", "disable").stdout.startswith("Autoload was not enabled")


def test_only_these_files_are_written(environment):
    environment.trtreg("autoload", "enable")
    starter = "trtreg-autoload.pth" if sys.version_info < (3, 15) else "trtreg-autoload.start"
    compiled = f"_trtreg_autoload.{sys.implementation.cache_tag}.pyc"
    assert files_of(environment) == {"_trtreg_autoload.py", compiled, starter}


def test_json(environment, plugins, install):
    install(b"", [], "trtplugin-misfit", machine="mips")
    schema = json.loads(files("trtreg").joinpath("schema/autoload.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["required"]) == set(schema["properties"])
    for action, enabled in (("status", False), ("enable", True), ("status", True), ("disable", False)):
        done = environment.trtreg("autoload", action, "--json", TRTREG_AUTOLOAD_ALLOW="trtplugin-misfit trtplugin-one")
        document = json.loads(done.stdout)
        jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
        assert (document["enabled"], document["allow"]) == (enabled, ["trtplugin-misfit", "trtplugin-one"])
        found = {each["package"]: (each["loaded"], each["refusal"]) for each in document["plugins"]}
        assert found["trtplugin-one"] == (True, None)
        assert found["trtplugin-two"] == (False, "not-allowed")
        assert found["trtplugin-misfit"] == (False, None)


def test_a_hook_of_another_version_is_noticed_and_renewed(enabled, plugins, program):
    hook_of(enabled).module.write_text("def install():\n    pass\n", encoding="utf-8")
    assert "of another version of trtreg; renew it" in enabled.trtreg("autoload", "status").stdout
    enabled.trtreg("autoload", "enable")
    assert hook_of(enabled).is_current
    assert enabled.run(program).stdout == "TrtregTestOne TrtregTestTwo\n"


def test_a_half_removed_hook_counts_as_disabled_and_can_be_made_whole(enabled):
    hook_of(enabled).module.unlink()
    assert "Autoload is disabled" in enabled.trtreg("autoload", "status").stdout
    assert "Autoload is enabled" in enabled.trtreg("autoload", "enable").stdout


def test_a_python_of_the_operating_system_is_refused(environment, tmp_path):
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n", encoding="utf-8")
    code = f"""
import sys, sysconfig
from trtreg.cli import main
real = sysconfig.get_path
sysconfig.get_path = lambda name, *rest: {str(tmp_path)!r} if name == "stdlib" else real(name, *rest)
sys.prefix = sys.base_prefix
sys.exit(main(["autoload", "enable"]))
"""
    done = environment.run("-c", code, check=False)
    assert done.returncode == errors.EnvironmentLockedError.exit_code
    assert "managed by the operating system" in done.stderr
    assert files_of(environment) == set()


def test_a_folder_that_python_does_not_read_is_refused_and_left_clean(environment, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = f"""
import sys, sysconfig
from trtreg.cli import main
real = sysconfig.get_path
sysconfig.get_path = lambda name, *rest: {str(elsewhere)!r} if name == "purelib" else real(name, *rest)
sys.exit(main(["autoload", "enable"]))
"""
    done = environment.run("-c", code, check=False)
    assert done.returncode == errors.AutoloadHookError.exit_code
    assert f"that Python reads {elsewhere} when it starts" in done.stderr
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written_is_refused(environment):
    (environment.packages / "_trtreg_autoload.py").mkdir()
    done = environment.trtreg("autoload", "enable", check=False)
    assert done.returncode == errors.AutoloadHookError.exit_code
    assert "The hook cannot be written" in done.stderr
    assert not hook_of(environment).starter.exists()


@pytest.mark.parametrize(
    ("version", "kind"), [((3, 10), "pth"), ((3, 13), "pth"), ((3, 14), "pth"), ((3, 15), "start"), ((3, 20), "start")]
)
def test_the_file_that_this_python_reads(tmp_path, version, kind):
    hook = hook_files.find(tmp_path, version)
    assert (hook.kind, hook.starter.name) == (kind, f"trtreg-autoload.{kind}")


def test_the_start_file_says_what_pep_829_reads(environment, plugins, program):
    """Each line is a comment or one `module:callable`; resolved by pkgutil and called without arguments."""
    hook = hook_files.Hook(folder=environment.packages, kind="start")
    hook_files._write(hook)
    entries = [line for line in hook.starter.read_text("utf-8-sig").splitlines() if not line.lstrip().startswith("#")]
    assert entries == ["_trtreg_autoload:install"]
    assert not hook.starter.name.startswith(".")
    assert hook.is_enabled
    assert hook.is_current
    call = f"import pkgutil; pkgutil.resolve_name({entries[0]!r})()\n"
    done = environment.run("-c", call + program.read_text())
    assert (done.stdout, done.stderr) == ("TrtregTestOne TrtregTestTwo\n", "")
    assert pkgutil.resolve_name("pkgutil:resolve_name") is pkgutil.resolve_name


def test_disable_takes_files_of_either_kind(environment):
    for kind in ("pth", "start"):
        hook_files._write(hook_files.Hook(folder=environment.packages, kind=kind))
    environment.trtreg("autoload", "disable")
    assert files_of(environment) == set()
