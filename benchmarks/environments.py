"""An environment of its own for each peer, installed when it is first asked for."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from dvae_core.files import cache_folder

PEERS = {
    "lightning": ["lightning"],
    "pythae": ["pythae"],
    "keras": ["keras>=3", "tensorflow-cpu"],
}
"""What pip installs for each."""
SHARES_TORCH = {"lightning", "pythae"}
"""Those that see this environment's packages, so that torch is the same and there only once."""


def python_of(peer: str) -> str:
    """The interpreter of a peer's environment; this one for those that need nothing else."""
    if peer not in PEERS:
        return sys.executable
    folder = cache_folder() / "benchmarks" / peer
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        print(f"installing {', '.join(PEERS[peer])} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        if peer in SHARES_TORCH:
            _share(folder)
        install = [str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]]
        subprocess.run(install, check=True, stdout=sys.stderr)
        done.touch()
    return str(python)


def _share(folder: Path) -> None:
    """Put this environment's packages, editable ones too, behind those of the new one."""
    (site,) = folder.glob("lib/python*/site-packages")
    packages = sysconfig.get_path("purelib")
    (site / "shared.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
