"""The command line: its parser, and the flags that belong to no other room, by :class:`utils.declare.Flag`.

They are those of train.py (``training``), how programs compute (``program``), and those that RobustNet's
programs accepted (``family``). Others are in ``datasets.flags``, ``network.flags`` and the files of methods.
"""
