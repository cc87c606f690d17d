"""The command line: its parser, and the flags that belong to no other room.

These are flags of train.py (``training``), of how programs compute (``program``), and flags that RobustNet's
programs accepted (``family``). Others are in ``datasets.flags``, ``network.flags`` and the files of methods.
"""
