"""The run directory: written by capture, read by analysis, plots and report; numpy, json and safetensors only."""
