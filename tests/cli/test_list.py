from trtreg import discovery


def test_a_table(cli, identity, misfit, broken):
    code, out, err = cli("list")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["PACKAGE", "VERSION", "OPS", "LIBRARY", "FITS"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["trtplugin-identity"].split(maxsplit=4)[1:4] == ["1.0", "TrtregTestIdentity", "libplugin.so"]
    assert rows["trtplugin-identity"].split(maxsplit=4)[4].startswith("yes")
    assert rows["trtplugin-misfit"].split(maxsplit=4)[4].startswith("no: machine: found")
    assert "glibc: found" in rows["trtplugin-misfit"]
    assert rows["trtplugin-broken"].split(maxsplit=4)[4].startswith("no: broken: ")


def test_no_plugins(cli, monkeypatch):
    monkeypatch.setattr(discovery, "scanned", lambda scan: ())
    code, out, err = cli("list")
    assert (code, out) == (0, "")
    assert "No plugins are installed" in err
