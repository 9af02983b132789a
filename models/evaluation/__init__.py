"""Measures the shipped program on what its models were never shown: `python -m evaluation --help`, from the folder above."""
