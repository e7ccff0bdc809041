"""Train a supernet: `python train_supernet.py searchspace=shufflenet data=imagenet trainer=ddp`.

Repeat a command to continue its run. `python train_supernet.py --help` lists groups and settings.
"""

from collm_nas.cli.commands import train_supernet

if __name__ == "__main__":
    train_supernet()
