"""A reward that kills process 1 of a launch, once, if `KGRL_KILL` says at which expansion."""

import os
import signal

import psutil


def deadly(expansion):
    if expansion.index == int(os.environ.get("KGRL_KILL", "-1")):
        for sibling in psutil.Process().parent().children():
            if sibling.environ().get("RANK") == "1":
                sibling.send_signal(signal.SIGKILL)
                sibling.wait(30)
    return expansion.probes["mean"].gain
