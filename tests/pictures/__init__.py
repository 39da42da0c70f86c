"""Pictures of the command line for the README: real commands, run on a real terminal, drawn as SVG by rich."""
