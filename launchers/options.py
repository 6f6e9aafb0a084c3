"""Arguments and options that several commands of the command line take."""

from pathlib import Path
from typing import Annotated

import typer

SearchFile = Annotated[
    Path | None, typer.Argument(metavar="SEARCH.yaml", help="Search file.", show_default=False)
]
Composition = Annotated[
    str | None,
    typer.Option(help="Content of the cell (Na4Cl4) or formula (NaCl).", show_default=False),
]
Preset = Annotated[
    str | None, typer.Option(help="A search shipped with Pyrite.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="Seed of all random numbers.", show_default=False)]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the search; by default such as NaCl-seed1.", show_default=False),
]
Home = Annotated[Path, typer.Option(help="Directory of store, logs and launches.")]
SearchName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the search.")]
HOME = Path(".pyrite")
