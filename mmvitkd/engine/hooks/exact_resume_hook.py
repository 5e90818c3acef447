from collections.abc import Iterator
from functools import partial
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset, Sampler

from mmvitkd.datasets.seeded_batches import SeededBatches
from mmvitkd.datasets.streamed_images import StreamedImages
from mmvitkd.registry import HOOKS
from mmvitkd.utils.seeds import Stream, derive_seed, seed_all

from .gradients import GRADIENTS, accumulation, is_accumulating

# what checkpoints hold of it, in the message hub
IN_EPOCH = 'batches_in_epoch'
LENGTH = 'epoch_length'
PROCESSES = 'processes'
STREAM = 'stream'
STOPPING = 'early_stopping'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Let a run that was killed and resumed end in the weights of an uninterrupted one.

    What is random in an iteration follows from the run's seed, the iteration and the
    process's rank: the order of the images, their augmentations, Mixup, masks and
    dropped paths (:class:`SeededBatches`). A resumed run begins with the next batch,
    also inside an epoch and in a loop by iterations, without reading the images before
    it (of :class:`StreamedImages`, without decoding them). The state of early stopping
    is kept. Gradients that wait for an update are kept by :class:`SafeCheckpointHook`.
    An epoch's workers are started anew, since transforms may remember what they saw.

    What can't go on exactly is named at the start, and refused when it is resumed.

    Args:
        exact: Whether to refuse. Defaults to True; with False the run goes on as
            well as it can.
    """

    priority = 'VERY_HIGH'  # before any other hook draws or saves

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact
        self._resumed = False
        self._missing: list[str] = []
        self._batches: SeededBatches | None = None
        self._skip = self._before = 0

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Note what a run is resumed from."""
        self._resumed = bool(runner._resume)
        needed = {'optimizer': runner.optim_wrapper, GRADIENTS: True}
        needed['param_schedulers'] = runner.param_schedulers
        self._missing = [k for k, v in needed.items() if v and k not in checkpoint]

    def before_train(self, runner: Any) -> None:
        """Find the place in the data, and say what can't go on exactly.

        Raises:
            ValueError: If the run is resumed, would not end in the same weights, and
                ``exact`` is True.
        """
        hub, loop = runner.message_hub, runner.train_loop
        processes = hub.get_info(PROCESSES, get_world_size())
        stream = _stream_settings(runner.train_dataloader)
        doubts = list(_doubts(runner))
        if self._resumed:
            doubts += [*self._find_place(runner), *self._lacking(runner)]
            doubts += _changed_stream(runner, stream)
            self._restore_stopping(runner)
            if processes != get_world_size():
                runner.logger.warning(
                    f'the run had {processes} processes and goes on with '
                    f'{get_world_size()}: not as it would have with as many'
                )
        else:
            doubts += _losing_gradients(runner)
        hub.update_info(PROCESSES, get_world_size())
        hub.update_info(LENGTH, len(runner.train_dataloader))
        if stream:
            hub.update_info(STREAM, stream)
        self._install(runner, loop)
        if not doubts:
            return
        what = "can't be resumed exactly: " + '; '.join(doubts)
        if self._resumed and self.exact:
            raise ValueError(
                f'the run {what}. To go on all the same: --cfg-options '
                'default_hooks.resume.exact=False'
            )
        runner.logger.warning(f'This run {what}')

    def _find_place(self, runner: Any) -> list[str]:
        """Set how many batches of the epoch are done, and say if that is unknown."""
        loop, length = runner.train_loop, len(runner.train_dataloader)
        if not isinstance(loop, EpochBasedTrainLoop):
            return []
        done = runner.message_hub.get_info(IN_EPOCH)
        if done is None:  # written without this hook
            done = loop.iter - loop.epoch * length
            known = 0 <= done <= length
        else:
            known = not done or runner.message_hub.get_info(LENGTH) == length
        self._skip = done if known else 0
        if known:
            return []
        return [
            f'the checkpoint lies inside epoch {loop.epoch + 1}, {done} batches after '
            f'its begin, and an epoch now has {length}: are batch size, number of '
            'processes and data the same?'
        ]

    def _lacking(self, runner: Any) -> Iterator[str]:
        """Name the state that should be in the checkpoint and is not."""
        if GRADIENTS in self._missing and is_accumulating(runner):
            yield (
                f'it was written at iteration {runner.iter}, between two updates of '
                "accumulated gradients, and doesn't hold them"
            )
        lacking = [key for key in self._missing if key != GRADIENTS]
        if lacking and isinstance(runner, Runner):  # strategies have their own keys
            yield (
                f'the checkpoint has no {" and no ".join(lacking)}; best_* files are '
                'for testing'
            )

    def _restore_stopping(self, runner: Any) -> None:
        saved = runner.message_hub.get_info(STOPPING)
        if saved is None:
            return
        for hook, state in zip(_stopping(runner), saved['hooks'], strict=False):
            hook.best_score, hook.wait_count = state
        runner.train_loop.stop_training = saved['stop']

    def _install(self, runner: Any, loop: Any) -> None:
        """Let the loader's batches carry seeds, and begin at the right one."""
        loader = runner.train_dataloader
        endless = isinstance(loop, IterBasedTrainLoop)
        if isinstance(loader.dataset, StreamedImages):
            loader.dataset.check_workers(loader.num_workers)
            if endless:
                begun = _begun_before(loop)
                epochs = _Epochs(loader, begun, runner.seed, loop.iter)
                loop.dataloader_iterator = epochs
            return
        if not _has_batches(loader):
            return
        if endless:
            _forget_iterator(runner, loop, loader)
        batches = SeededBatches(
            loader.batch_sampler, runner.seed, get_rank(), endless=endless
        )
        # a loader's own setter refuses; no iterator of it is in use yet
        object.__setattr__(loader, 'batch_sampler', batches)
        if endless:
            batches.begin(0, skip=loop.iter)
        self._batches = batches

    def before_train_epoch(self, runner: Any) -> None:
        """Begin an epoch where the checkpoint left it, with fresh workers."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        if self._batches is not None:
            self._batches.begin(runner.iter - self._skip, self._skip)
        begin_epoch(runner.train_dataloader, runner.seed, runner.epoch, self._skip)
        _renew_workers(runner)
        self._before, self._skip = self._skip, 0

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Seed what the step will draw."""
        seed_all(derive_seed(runner.seed, Stream.STEP, runner.iter, get_rank()))

    def after_train_iter(
        self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any
    ) -> None:
        """Note the place in the epoch, for a checkpoint that is written now."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            runner.message_hub.update_info(IN_EPOCH, self._before + batch_idx + 1)

    def after_train_epoch(self, runner: Any) -> None:
        """Note that the epoch is over."""
        runner.message_hub.update_info(IN_EPOCH, 0)

    def after_val(self, runner: Any) -> None:
        """Note what early stopping has seen."""
        hooks = [(hook.best_score, hook.wait_count) for hook in _stopping(runner)]
        if hooks:
            state = {'hooks': hooks, 'stop': runner.train_loop.stop_training}
            runner.message_hub.update_info(STOPPING, state)


class _EndlessIterator:
    """Stands in for the iterator of MMEngine's loop by iterations.

    Of a resumed run that loop would load and drop every batch before the checkpoint's,
    or skip them in a sampler that can; here the batch sampler has done so.
    """

    def __init__(self, loader: DataLoader, begun_before: int) -> None:
        self.loader = loader
        self.begun_before = begun_before
        self._iterator: Any = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.begun_before:
            self.begun_before -= 1
            return None
        return self.next_batch()

    def next_batch(self) -> Any:
        """Load a batch."""
        if self._iterator is None:
            self._iterator = iter(self.loader)
        return next(self._iterator)

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing: the batches are skipped already."""


class _Epochs(_EndlessIterator):
    """The same over a stream, whose epochs follow each other as in a loop by epochs."""

    def __init__(
        self, loader: DataLoader, begun_before: int, seed: int, done: int
    ) -> None:
        super().__init__(loader, begun_before)
        self.seed = seed
        self.done = done

    def next_batch(self) -> Any:
        """Read a batch."""
        epoch, place = divmod(self.done, len(self.loader))
        if self._iterator is None or not place:
            begin_epoch(self.loader, self.seed, epoch, place)
            self.loader._iterator = self._iterator = None  # ends persistent workers
        self.done += 1
        return super().next_batch()


def begin_epoch(loader: DataLoader, seed: int, epoch: int, done: int) -> None:
    """Tell a loader's stream, if it has one, where the next pass begins."""
    if isinstance(loader.dataset, StreamedImages):
        loader.dataset.begin(seed, epoch, done, loader.batch_size or 1)


def _forget_iterator(runner: Any, loop: Any, loader: DataLoader) -> None:
    """Replace the loop's iterator by one that begins where the batch sampler does."""
    old = loop.dataloader_iterator
    loop.dataloader_iterator = _EndlessIterator(loader, _begun_before(loop))
    loader._iterator = None
    if getattr(old, '_iterator', None) is None or not loader.num_workers:
        return
    # its workers were sent batches already, which an endless sampler doesn't repeat
    used: Any = loader.sampler
    fresh = DATA_SAMPLERS.build(
        runner.cfg.train_dataloader.sampler,
        default_args={'dataset': loader.dataset, 'seed': getattr(used, 'seed', None)},
    )
    object.__setattr__(loader, 'sampler', fresh)
    loader.batch_sampler.sampler = fresh  # type: ignore[union-attr]


def _begun_before(loop: Any) -> int:
    """Return how many batches of a resumed run a loop asks for again."""
    return 0 if hasattr(loop.dataloader_iterator, 'skip_iter') else loop.iter


def _renew_workers(runner: Any) -> None:
    """Let the next workers draw otherwise, where batches carry no seeds."""
    loader = runner.train_dataloader
    loader._iterator = None  # ends persistent ones
    init = loader.worker_init_fn
    if isinstance(init, partial) and 'seed' in init.keywords:
        # MMEngine's: every worker adds its own number to the seed
        seed = derive_seed(runner.seed, Stream.BATCH, runner.iter, get_rank())
        loader.worker_init_fn = partial(init, seed=seed)


def _has_batches(loader: DataLoader) -> bool:
    iterable = isinstance(loader.dataset, IterableDataset)
    return not iterable and loader.batch_sampler is not None


def _stopping(runner: Any) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def _doubts(runner: Any) -> Iterator[str]:
    """Say what of a run can't be resumed exactly, wherever it is killed."""
    loop, loader = runner.train_loop, runner.train_dataloader
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        yield f'the loop {type(loop).__name__} is not one of MMEngine'
    streamed = isinstance(loader.dataset, StreamedImages)
    if not streamed and not _has_batches(loader):
        yield (
            f'{type(loader.dataset).__name__} is iterated, so its place in the data is '
            'not known'
        )
    generator = getattr(loader.sampler, 'generator', None)
    if isinstance(loader.sampler, Sampler) and generator is not None:
        yield f'{type(loader.sampler).__name__} has a generator of its own'
    remembering = sorted({type(t).__name__ for t in _remembering(loader.dataset)})
    fresh = loader.num_workers and isinstance(loop, EpochBasedTrainLoop)
    if remembering and not fresh:
        yield f'{", ".join(remembering)} mixes in images of earlier batches'


def _stream_settings(loader: DataLoader) -> dict[str, Any]:
    """Return what the images of a stream depend on, besides the seed and the place."""
    if not isinstance(loader.dataset, StreamedImages):
        return {}
    return {
        'images an epoch': loader.dataset.num_samples,
        'processes': get_world_size(),
        'workers': max(loader.num_workers, 1),
        'images a batch': loader.batch_size,
    }


def _changed_stream(runner: Any, now: dict[str, Any]) -> Iterator[str]:
    """Say whether other images now come from a stream than would have."""
    before = runner.message_hub.get_info(STREAM, now)
    changed = [f'{before[k]} {k}, now {n}' for k, n in now.items() if before[k] != n]
    if changed:
        name = type(runner.train_dataloader.dataset).__name__
        yield f'{name} was read with {", ".join(changed)}'


def _losing_gradients(runner: Any) -> Iterator[str]:
    """Say whether some checkpoints will lie between two updates, without gradients."""
    counts, length = accumulation(runner), len(runner.train_dataloader)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if not isinstance(runner, Runner) and (length % counts or counts > 1 > by_epoch):
        yield (
            f'from every checkpoint: under {type(runner.strategy).__name__} they hold '
            f'no accumulated gradients, {counts} batches make an update, and {length} '
            'an epoch'
        )


def _remembering(dataset: Any) -> Iterator[Any]:
    """Find transforms that keep images, as MMDetection's CachedMosaic does."""
    for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', []):
        if hasattr(transform, 'results_cache'):
            yield transform
    for part in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
        if part is not None:
            yield from _remembering(part)
