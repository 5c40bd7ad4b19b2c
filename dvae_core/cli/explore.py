"""`dvae explore`: a page to move through a run's latent space."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvae_core.cli import completing, streams
from dvae_core.cli.looking import fetched

if TYPE_CHECKING:
    from dvae_core.pages.explore.server import Server


EXAMPLES = (
    "dvae explore runs/mnist_abs-20260101-120000-abcd",
    "dvae explore runs/mnist_abs-20260101-120000-abcd --html page.html",
    "dvae explore runs/a runs/b --plane pc1,pc2 --plane 0,8,3",
    "dvae explore runs/mnist_conditional-20260101-120000-abcd --as 3 --as 8",
)


def explore(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or runs on the hub; several stand side by side.",
            autocompletion=completing.runs,
            callback=fetched,
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page here, and do not open it."),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve the page to this machine until Ctrl-C: images are decoded exactly, and "
            "you can draw one and see where it lands.",
        ),
    ] = False,
    plane: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLANE",
            help="For more than two latent dimensions: pc1,pc2 or z1,z4 or three classes; repeat "
            "for several.",
        ),
    ] = None,
    shown: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="CLASS",
            help="With a conditional decoder: the class to decode; repeat to see several side by "
            "side. No known class if left out.",
        ),
    ] = None,
) -> None:
    """Write a page to move through latent space, in one file that needs no server; open it."""
    if serve and html:
        raise typer.BadParameter("--serve writes no file", param_hint="--html")
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading")
        from dvae_core.files import write_atomically, write_out
        from dvae_core.latent.loaded_run import load_run
        from dvae_core.pages.explore.page import explore_page, explore_runs
        from dvae_core.pages.explore.server import Server

        loaded = [load_run(run, watch=watcher) for run in runs]
        if serve:
            server = Server(explore_runs(loaded, plane or (), watcher, shown or ()))
        else:
            file = html or runs[0] / "explore.html"
            text = explore_page(
                *loaded, planes=plane or (), watch=watcher, shown_classes=shown or ()
            )
            (write_atomically if html is None else write_out)(file, text.encode())
    if serve:
        _serve(server)
        return
    streams.show(file)
    if html is None:
        import webbrowser

        webbrowser.open(file.absolute().as_uri())


def _serve(server: Server) -> None:
    import webbrowser

    print(server.address, flush=True)
    webbrowser.open(server.address)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
