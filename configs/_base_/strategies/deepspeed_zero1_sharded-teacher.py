# DeepSpeed's ZeRO-1: the optimiser's state and the teacher are sharded.
_base_ = './deepspeed_zero1.py'

strategy = dict(shard_teacher=True)
