# The student and its necks are sharded over the processes, every process holds the
# whole teacher. Lay it beside any config:
#   _base_ = ['../vitkd/<config>', '../_base_/strategies/fsdp.py']
runner_type = 'FlexibleRunner'
strategy = dict(type='mmvitkd.FSDPStrategy')
