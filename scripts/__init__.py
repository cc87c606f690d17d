"""Programs beside train.py, valid.py and infer.py, and one shell script per published experiment."""
