"""One performance of the demo, from setting up to the last word."""

from pathlib import Path

from agentstop.cli.demo.display import Display
from agentstop.cli.demo.following import NotInTimeError
from agentstop.cli.demo.stage import Wings, set_stage
from agentstop.cli.demo.story import Story
from agentstop.cli.errors import UserError
from agentstop.cli.examples import find_examples
from agentstop.cluster.connection import NoConnectionError
from agentstop.cluster.errors import ApiError


async def play(display: Display, kubeconfig: Path | None, namespace: str | None) -> int:
    """Play the demo and clear up. Returns 0 if all of it came out as it should, else 1.

    Raises UserError where it cannot be played at all.
    """
    examples = find_examples()
    if examples is None:
        raise UserError("the demo plays the manifests of examples/, which are not here: run it from a checkout")
    display.say("Real agents are stopped in ten ways, and frozen in two; it takes about 20 seconds.")
    wings = Wings()
    problems: list[str] = []
    try:
        async with set_stage(display, wings, kubeconfig, namespace) as stage:
            story = Story(stage, display, examples)
            try:
                await story.play()
            except NotInTimeError as error:
                problems.append(str(error))
            finally:
                display.heading("Clearing up")
            problems = story.problems + problems
    except NotInTimeError as error:
        problems.append(str(error))
    except (ApiError, NoConnectionError) as error:
        wings.clear()
        raise UserError(str(error)) from error
    except BaseException:
        wings.clear()
        raise
    if problems:
        for problem in problems:
            display.problem(problem)
        if wings.operator_log.exists():
            display.say(f"the operator's log is {wings.operator_log}")
        else:
            wings.clear()
        return 1
    wings.clear()
    display.success(f"All of it came out as it should, in {display.seconds:.0f} s.")
    return 0
