"""What is wrong with something that was read, in words for people."""

from pydantic import ValidationError


def first_problem(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Return the way to the first thing that is not as it must be, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
    return tuple(map(str, first["loc"])), message


def of_file(error: ValidationError) -> str:
    """Return the same of a file, in one line."""
    place, message = first_problem(error)
    return f"{'.'.join(place) or 'the file'}: {message}"


def why_unread(error: OSError | ValueError) -> str:
    """Return why a file could not be read, without what the system has to say of it besides."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
