"""How figures look in print: style and sizes, labels that fit, files."""
