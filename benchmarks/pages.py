"""Write every table and plot of the README and the docs that comes from stored results.

python -m benchmarks.pages
"""

from benchmarks import (
    ablations_table,
    generations_table,
    overhead_table,
    random_table,
    readme_table,
    sample_efficiency_table,
)

WRITERS = (
    readme_table,
    random_table,
    sample_efficiency_table,
    generations_table,
    ablations_table,
    overhead_table,
)


def main() -> None:
    sample_efficiency_table.plot()
    for writer in WRITERS:
        writer.SECTION.write(writer.body())


if __name__ == "__main__":
    main()
