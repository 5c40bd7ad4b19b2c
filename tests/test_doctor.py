"""What `dvae doctor` says."""

import json
import subprocess
import sys

FACTS = """
from dvae_core import hookimpl

@hookimpl
def doctor_facts():
    {body}
"""


def test_it_says_what_a_report_of_a_bug_needs(dvae):
    code, out, _ = dvae("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["torch"][0].isdigit()
    assert any(name.startswith("dvae-core ") for name in found["plugins"])
    assert found["loggers"]["W&B mode"] == "offline"
    assert "torch" not in found
    code, out, _ = dvae("doctor")
    assert code == 0
    for title, facts in found.items():
        assert f"{title}\n" in out
        assert all(name in out for name in facts)


def test_it_loads_no_torch_unless_asked():
    code = "import sys; from dvae_core.cli import app; app(['doctor'{}], standalone_mode=False); "
    code += "assert ('torch' in sys.modules) is {}"
    for flag, loaded in (("", False), (", '--full'", True)):
        done = subprocess.run([sys.executable, "-c", code.format(flag, loaded)])
        assert done.returncode == 0, flag


def test_plugins_add_facts_and_fail_alone(install, dvae):
    install("dvae-lucid", FACTS.format(body="return {'lamp': 'on'}"))
    install("dvae-dark", FACTS.format(body="raise RuntimeError('no light')"))
    code, out, _ = dvae("doctor", "--json")
    found = json.loads(out)
    assert not [value for value in found["plugins"].values() if "broken" in value]
    told = [facts for facts in found.values() if "lamp" in facts or "doctor_facts" in facts]
    assert code == 0
    assert sorted(map(str, told)) == ["{'doctor_facts': 'failed: no light'}", "{'lamp': 'on'}"]


def test_a_broken_plugin_is_named_and_ends_with_1(install, dvae):
    install("dvae-broken", "1 / 0")
    code, out, _ = dvae("doctor")
    assert code == 1
    assert "broken: ZeroDivisionError" in out
