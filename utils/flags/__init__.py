"""The command line: the parser, files for ``--config``, and the flags that belong to no other room.

Where a flag is declared: ``training`` those of train.py; ``program`` how programs compute; ``family`` those
that RobustNet's programs accepted; ``datasets.flags`` data; ``network.flags`` networks; a method's own in its
file. Each declaration is a :class:`utils.declare.Flag`.
"""
