# The student, its necks and the teacher are sharded over the processes.
_base_ = './fsdp.py'

strategy = dict(shard_teacher=True)
