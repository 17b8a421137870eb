"""The tasks of a stage on the nodes of a Ray cluster, those of a step side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from kit.base.errors import KitError
from kit.base.progress import track
from kit.pipeline.engine.cluster import share_of
from kit.pipeline.engine.node_process import End, NodeTask, on_a_node
from kit.pipeline.engine.tasked import Step
from kit.pipeline.order import LOGS
from kit.pipeline.stage import StageContext


def do_step(context: StageContext, step: Step) -> None:
    """Do the tasks of a step, each by a process on a node; the cluster is connected.

    Raises KitError for the first that failed, once those at work have ended.
    """
    name, run, over = context.stage.name, context.run, threading.Event()
    share = share_of(run.config.engine, step.device, processes=1)
    run.own_config()  # written before the threads, which all need it

    def do(task: str) -> End:
        log = (run.path / LOGS / f"{name}-{task}.txt").absolute()
        return on_a_node(run, NodeTask(name, "task", task), share, log, over)

    with ThreadPoolExecutor(len(step.tasks)) as pool:
        try:
            at_work = [pool.submit(do, task) for task in step.tasks]
            for future in track(as_completed(at_work), len(at_work), f"{name}, on nodes"):
                end = future.result()
                if end.fault:
                    raise KitError(end.fault)
                context.nodes[end.node] += 1
        finally:
            over.set()
