"""Pure functions from plain records to plotly figures, for pages and reports alike."""
