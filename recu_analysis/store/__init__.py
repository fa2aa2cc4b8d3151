"""The run directory: capture writes it; analysis, plots and report read it. Uses only numpy, json and safetensors."""
