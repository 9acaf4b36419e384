"""The first load in a process of its own: every way to end badly is a verdict, kept, shown and cleared."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from registry import registered

from trtreg import loader
from trtreg.errors import (
    AlreadyRegisteredError,
    CreatorsMissingError,
    MissingDependencyError,
    QuarantinedError,
    TrialError,
)
from trtreg.foreign.style import Style
from trtreg.manifest import CreatorKey
from trtreg.trust import child, trial, verdicts

from .conftest import KEY

ROOT = Path(__file__).resolve().parents[2]
NULL = "static abi::IPluginCreatorInterface* list[1] = {nullptr}; count = 1; return list"
EATS = "for (;;) { char* p = static_cast<char*>(malloc(1 << 24)); for (int i = 0; i < 1 << 24; i += 4096) p[i] = 1; }"
DEEP = "struct S { static int f(int volatile n) { char volatile b[4096]; b[0] = n; return f(n + 1) + b[0]; } }; S::f(0)"
WRITES_PID = 'if (FILE* f = fopen(getenv("TRTREG_TEST_PID"), "w")) { fprintf(f, "%d", getpid()); fclose(f); }'

ENDS = {
    "a crash": ('puts("out"); fflush(stdout); raise(SIGSEGV)', "", "SIGSEGV: out"),
    "an abort": (r'fprintf(stderr, "first\nlast\x1b[31m words\n\n"); abort()', "", r"SIGABRT: last\[31m words"),
    "an exit": ("exit(0)", "", "exit code 0"),
    "another exit": ("_exit(7)", "", "exit code 7"),
    "a hang": ("for (;;) pause()", "", "no end within 2 s"),
    "a busy hang": ("for (;;) {}", "", "no end within 2 s"),
    "a flood": (r'for (;;) puts("flood")', "", "no end within 2 s: (flood|floo|flo|fl|f)"),
    "a recursion": (DEEP, "", "SIGSEGV"),
    "memory": (EATS, "", "SIGSEGV|SIGABRT"),
    "an exception": ("", 'throw std::runtime_error("thrown by getCreators")', r"SIGABRT: what\(\):  thrown by"),
    "an exception that is none": ("", "throw 1", "SIGABRT: terminate called"),
    "a null creator": ("", NULL, "getCreators gives 1 creators, of which 1 are null"),
    "no list": ("", "count = 1; return nullptr", "getCreators gives a null pointer"),
    "no creators": ("", "count = 0; return nullptr", "getCreators gives 0 creators"),
    "a count below zero": ("", NULL.replace("count = 1", "count = -1"), "getCreators gives -1 creators"),
    "a count beyond all": ("", NULL.replace("count = 1", "count = 2000000000"), "getCreators gives 2000000000 c"),
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """The libraries that were tried."""
    asked = []
    real = child.ask
    monkeypatch.setattr(child, "ask", lambda task: asked.append(task.owner) or real(task))
    return asked


@pytest.mark.parametrize("end", ENDS)
def test_every_bad_end_is_a_verdict_and_is_not_tried_again(bad, policy_file, asked, end):
    start, body, words = ENDS[end]
    policy_file("trial_seconds = 2\ntrial_memory_mib = 256")
    plugin = bad(start, body or "count = 0; return nullptr")
    with pytest.raises(QuarantinedError, match=f"is in quarantine: .*found ({words})") as caught:
        loader.load(plugin)
    assert "trtreg quarantine clear trtplugin-bad" in caught.value.remedy
    assert str(plugin.library_path) in str(caught.value)
    assert "/proc/" not in str(caught.value)
    with pytest.raises(QuarantinedError, match=f"found ({words})"):
        loader.load(plugin)
    assert asked == ["trtplugin-bad"]
    assert str(plugin.library_path) not in Path("/proc/self/maps").read_text()


def test_a_good_library_is_tried_once_and_the_cost_is_told(one, asked, caplog, own_cache):
    with caplog.at_level(logging.INFO, "trtreg.loader"):
        loader.load(one)
    assert "trtplugin-test is new with tensorrt_" in caplog.text
    assert KEY in registered()
    loader.unload(one)
    loader.load(one)
    assert asked == ["trtplugin-test"]
    assert own_cache.stat().st_mode & 0o777 == 0o700
    (kept,) = own_cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    (verdict,) = verdicts.read_all()
    assert (verdict.package, verdict.passed, verdict.sha256) == ("trtplugin-test", True, one.manifest.library.sha256)
    assert 0 < verdict.seconds < 60


def test_a_policy_turns_it_off(one, asked, policy_file):
    policy_file('trial = "off"')
    assert loader.load(one).creators == (KEY,)
    assert asked == []


def test_another_library_tensorrt_or_environment_is_tried_anew(one, monkeypatch):
    key = verdicts.Key(
        sha256=one.manifest.library.sha256, flavour="rtx", tensorrt="1.7", registration="dynamic", init=""
    )
    verdicts.write(verdicts.make(key, package="x", library=one.library_path, reason="", seconds=1.0))
    assert verdicts.read(key)
    assert key.environment == sys.prefix
    for change in (
        {"sha256": "0" * 64}, {"flavour": "lean"}, {"tensorrt": "1.8"}, {"init": "f"}, {"environment": "/elsewhere"}
    ):  # fmt: skip
        assert verdicts.read(replace(key, **change)) is None
    monkeypatch.setattr(verdicts, "VERSION", verdicts.VERSION + 1)
    assert verdicts.read(key) is None


DAMAGE = {
    "empty": lambda path: path.write_text(""),
    "no JSON": lambda path: path.write_text("{"),
    "another shape": lambda path: path.write_text("[]"),
    "a key missing": lambda path: path.write_text(path.read_text().replace('"reason"', '"raison"')),
    "a wrong type": lambda path: path.write_text(path.read_text().replace('"reason": ""', '"reason": false')),
    "huge": lambda path: path.write_text(path.read_text() + " " * 100_000),
    "of another library": lambda path: path.write_text(
        json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64})
    ),
    "writable by others": lambda path: path.chmod(0o666),
    "a link": lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_verdict_counts_as_none(own_cache, tmp_path, damage):
    key = verdicts.Key(sha256="a" * 64, flavour="rtx", tensorrt="1.7", registration="dynamic", init="")
    verdicts.write(verdicts.make(key, package="x", library=tmp_path, reason="", seconds=1.0))
    assert verdicts.read(key).passed
    DAMAGE[damage](own_cache / key.name)
    assert verdicts.read(key) is None


def test_a_cache_that_cannot_be_written_is_no_obstacle(one, asked, own_cache, caplog):
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file")
    with caplog.at_level(logging.INFO, "trtreg.loader"):
        loader.load(one)
    assert "the verdict on trtplugin-test is not kept" in caplog.text
    loader.unload(one)
    loader.load(one)
    assert len(asked) == 2


def test_a_library_that_cannot_be_opened_has_no_verdict(compile_library, compile_creators, install, own_cache):
    leaf = compile_library('extern "C" __attribute__((visibility("default"))) int leaf() { return 1; }',
                           "-Wl,-soname,libtrtreg-nowhere.so.1")  # fmt: skip
    plugin = install(compile_creators([KEY], "-DNEEDS=leaf", str(leaf)), [KEY])
    with pytest.raises(MissingDependencyError, match=r"no libtrtreg-nowhere\.so\.1"):
        loader.load(plugin)
    assert verdicts.read_all() == ()


def test_static_and_init_registration_are_tried(bad):
    with pytest.raises(QuarantinedError, match="SIGABRT"):
        loader.load(bad("abort()", name="trtplugin-static", registration="static"))
    with pytest.raises(CreatorsMissingError):
        loader.load(bad(name="trtplugin-nothing", registration="static"))
    assert [verdict.registration for verdict in verdicts.read_all() if not verdict.passed] == ["static"]


def test_creators_that_tensorrt_has_itself_do_not_spoil_the_trial(compile_creators, install):
    """Whether they may be replaced is not the trial's question."""
    key = min(key for key in registered() if not key.name.startswith("Trtreg"))
    plugin = install(compile_creators([key]), [key])
    with pytest.raises(AlreadyRegisteredError):
        loader.load(plugin)
    assert [verdict.passed for verdict in verdicts.read_all()] == [True]


def test_an_end_from_outside_is_no_verdict(bad):
    with pytest.raises(TrialError, match="was ended from outside, so it is not loaded: found SIGKILL"):
        loader.load(bad("kill(getpid(), SIGKILL)"))
    assert verdicts.read_all() == ()


def test_a_child_that_does_not_come_so_far_is_no_verdict(one, monkeypatch):
    monkeypatch.setattr(child, "_environment", lambda _: {**os.environ, "TRTREG_TENSORRT": "nonsense"})
    with pytest.raises(
        TrialError, match=r"ended before the library was opened, exit code 1: .*Unknown TensorRT flavour"
    ):
        loader.load(one)
    assert verdicts.read_all() == ()


@pytest.mark.parametrize("why", ["no process", "no Python"])
def test_where_no_process_can_be_had_it_is_said_and_a_policy_helps(one, monkeypatch, policy_file, why):
    if why == "no process":
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(BlockingIOError(11, "no more")))
    else:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(TrialError, match="cannot be tried in a process of its own") as caught:
        loader.load(one)
    assert 'trial = "off"' in caught.value.remedy
    policy_file('trial = "off"')
    assert loader.load(one).creators == (KEY,)


def test_a_program_with_python_inside_finds_the_python(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/true")
    found = child._python(None)
    assert Path(found).name.startswith("python")
    assert subprocess.run([found, "-c", ""], check=False).returncode == 0


def test_processes_at_once_try_once(one, site, run_python):
    code = (
        "import sys, logging; logging.basicConfig(format='%(message)s', level=logging.INFO, stream=sys.stdout);"
        "from trtreg import discovery, loader; (plugin,) = discovery.discover([sys.argv[1]]); loader.load(plugin)"
    )
    outputs = []
    threads = [threading.Thread(target=lambda: outputs.append(run_python(code, str(site)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in outputs] == [0] * 4
    assert sum("is new with" in done.stdout for done in outputs) == 1


def test_threads_try_once_and_do_not_wait_for_other_libraries(one, bad, asked, policy_file):
    policy_file("trial_seconds = 3")
    hanging = bad("for (;;) pause()")
    failures, times = [], []

    def hang():
        with pytest.raises(QuarantinedError) as caught:
            loader.load(hanging)
        failures.append(caught.value)

    def load():
        start = time.monotonic()
        loader.load(one)
        times.append(time.monotonic() - start)

    threads = [threading.Thread(target=hang) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    load()
    assert not failures, "the hanging one is still at it"
    for thread in threads:
        thread.join()
    assert len(failures) == 2
    assert sorted(asked) == ["trtplugin-bad", "trtplugin-test"]


def test_what_a_trial_starts_ends_with_it(bad, tmp_path, monkeypatch):
    monkeypatch.setenv("TRTREG_TEST_PID", str(tmp_path / "pid"))
    start = f"if (fork() == 0) {{ {WRITES_PID} for (;;) pause(); }} sleep(1); abort()"
    with pytest.raises(QuarantinedError, match="SIGABRT"):
        loader.load(bad(start))
    pid = (tmp_path / "pid").read_text()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.02)
    else:
        pytest.fail("it is still there")


def test_a_trial_ends_with_the_process_that_waits_for_it(bad, site, tmp_path, monkeypatch):
    monkeypatch.setenv("TRTREG_TEST_PID", str(tmp_path / "pid"))
    bad(f"{WRITES_PID} for (;;) pause()")
    code = "import sys; from trtreg import discovery, loader; loader.load(discovery.discover([sys.argv[1]])[0])"
    host = subprocess.Popen([sys.executable, "-c", code, str(site)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    for _ in range(500):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.02)
    pid = (tmp_path / "pid").read_text()
    assert "_child" in Path(f"/proc/{pid}/cmdline").read_text()
    host.kill()
    host.wait()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.02)
    else:
        pytest.fail("it is still there")


def test_the_child_takes_no_module_from_the_folder_where_the_program_runs(one, tmp_path, monkeypatch):
    for name in ("json", "policy", "tensorrt_rtx", "trtreg"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from here')")
    monkeypatch.chdir(tmp_path)
    assert loader.load(one).creators == (KEY,)


def test_no_core_is_left(bad, tmp_path, monkeypatch):
    import resource

    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with pytest.raises(QuarantinedError):
            loader.load(bad("abort()"))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("core")]


@pytest.fixture
def cli(capsys):
    from trtreg.cli import main

    def run(*arguments):
        code = main([*arguments])
        return code, *capsys.readouterr()

    return run


def check(text):
    document = json.loads(text)
    schema = json.loads(files("trtreg").joinpath("schema/quarantine.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    return document["libraries"]


def test_list_and_clear(cli, one, bad, asked):
    assert cli("quarantine", "list") == (0, "", "Nothing is in quarantine.\n")
    plugin = bad("abort()")
    with pytest.raises(QuarantinedError):
        loader.load(plugin)
    loader.load(one)
    code, out, _ = cli("quarantine", "list")
    assert code == 0
    assert out.splitlines()[0].split() == ["PACKAGE", "SHA256", "TENSORRT", "TRIED", "VERDICT"]
    assert out.splitlines()[1].startswith(f"trtplugin-bad  {plugin.manifest.library.sha256[:12]}")
    assert out.splitlines()[1].endswith("SIGABRT")
    assert len(out.splitlines()) == 2
    (listed,) = check(cli("quarantine", "list", "--json")[1])
    assert (listed["package"], listed["passed"], listed["reason"]) == ("trtplugin-bad", False, "SIGABRT")
    assert [each["passed"] for each in check(cli("quarantine", "list", "--all", "--json")[1])] == [False, True]
    assert check(cli("quarantine", "list", "trtplugin-other", "--json")[1]) == []

    code, out, _ = cli("quarantine", "clear", plugin.manifest.library.sha256[:10])
    assert out.startswith("trtplugin-bad is tried again with ")
    with pytest.raises(QuarantinedError):
        loader.load(plugin)
    assert asked.count("trtplugin-bad") == 2
    assert len(check(cli("quarantine", "clear", "--json")[1])) == 1
    assert cli("quarantine", "list")[2] == "Nothing is in quarantine.\n"
    assert len(verdicts.read_all()) == 1, "the good one keeps its verdict"


def test_doctor_and_info_tell(cli, bad, site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(QuarantinedError):
        loader.load(bad("abort()"))
    code, out, _ = cli("doctor")
    assert code == 8
    assert "mode warn, trial new, from the default" in out
    assert "1 kept, 1 bad, " in out
    assert "trtplugin-bad is in quarantine for " in out
    assert "remedy: get another build, or run: trtreg quarantine clear trtplugin-bad" in out
    assert "trial     SIGABRT, " in cli("info", "trtplugin-bad")[1]


def test_doctor_tells_of_a_policy_that_means_nothing(cli, policy_file):
    policy_file("nonsense = 1")
    code, out, _ = cli("doctor")
    assert (code, "unknown key 'nonsense'" in out) == (8, True)


def test_a_name_selects(tmp_path):
    key = verdicts.Key(sha256="ab" * 32, flavour="rtx", tensorrt="1.7", registration="dynamic", init="")
    found = (verdicts.make(key, package="trtplugin-x", library=tmp_path / "x.so", reason="SIGSEGV", seconds=1.0),)
    for name in ("trtplugin_X", "abababab", "ABABABABAB", str(tmp_path / "x.so")):
        assert trial.select(found, [name]) == found
    for name in ("trtplugin", "ab", "x.so"):
        assert trial.select(found, [name]) == ()
    assert trial.select(found, []) == found


def test_the_other_flavours_of_tensorrt(compile_creators, install, site, lean_python):
    plugin = install(compile_creators([CreatorKey("TrtregTrustLean", "1")]), [CreatorKey("TrtregTrustLean", "1")])
    code = (
        "import sys; from trtreg import discovery, loader; from trtreg.trust import verdicts;"
        "print(loader.load(discovery.discover([sys.argv[1]])[0]).creators[0].name, verdicts.read_all()[-1].tensorrt)"
    )
    done = subprocess.run(
        [lean_python, "-c", code, str(site)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("TrtregTrustLean 1"), done.stderr
    assert plugin.library_path.is_file()


def test_a_long_answer_is_taken_whole_and_a_limit_on_files_does_not_cut_it(compile_library, install, run_python, site):
    """Eight creators with names of 64 KiB: more than a pipe holds."""
    key = CreatorKey("TrtregTrustLong", "1")
    names = ", ".join(f'Creator{{long_name("{letter}"), "1", ""}}' for letter in "abcdefg")
    source = (ROOT / "tests" / "native" / "creators.cpp").read_text(encoding="utf-8")
    source = source.replace("CREATORS}", f'{names}, Creator{{"{key.name}", "1", ""}}}}').replace(
        "namespace {\n",
        "#include <string>\nnamespace {\nchar const* long_name(char const* c) {"
        " return (new std::string(65536, *c))->c_str(); }\n",
        1,
    )
    plugin = install(compile_library(source), [key])
    code = (
        "import resource, sys; from trtreg import discovery, loader;"
        "(plugin,) = discovery.discover([sys.argv[1]]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "print(loader.load(plugin).creators[0].name)"
    )
    done = run_python(code, str(site))
    assert done.stdout == "TrtregTrustLong\n", done.stderr
    assert plugin.library_path.is_file()


def test_a_task_says_how(one):
    from trtreg import flavour
    from trtreg.trust import integrity

    opened = integrity.open_library(one.library_path)
    style = Style(registration="dynamic")
    task = child.Task(library=opened, tensorrt=flavour.select(), style=style, owner="x", seconds=60)
    (creator,) = child.ask(task)
    assert creator == {"name": KEY.name, "version": "1", "namespace": "", "interface": "v3", "fields": []}
