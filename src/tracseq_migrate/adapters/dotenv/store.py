"""The flag file on the disk: read whole, changed by compare-and-swap, atomically or in place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from tracseq_migrate.adapters import durable, swapping
from tracseq_migrate.adapters.dotenv.findings import findings
from tracseq_migrate.adapters.dotenv.text import EditError, FlagText, difference
from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.ports import FlagChange, FlagFile

_MAX_BYTES = 64 * 1024
"""Some thousand lines, more than any gateway has variables: reading takes as long as python-dotenv's parser does."""

WriteMode = Literal["auto", "atomic", "in-place"]


class DotenvFlagStore:
    """A `FlagStore` in a file that python-dotenv reads.

    Args:
        path: the file; where it is a symbolic link, the file behind it is replaced and the link stays.
        names: the flags there are; without them every name of the file counts as one.
        nested_prefix: names with this prefix win over those without it.
        write: ``atomic`` (a new file takes the old one's place), ``in-place`` (the same file is written
            over: for one that is mounted by itself, or has several names), or ``auto`` to find out.
        safety: the folder for the copy that an in-place write makes first; beside the file where it is None.
    """

    def __init__(
        self,
        path: Path,
        *,
        names: Iterable[str] | None = None,
        nested_prefix: str = "FEATURE_FLAGS__",
        write: WriteMode = "auto",
        safety: Path | None = None,
    ) -> None:
        self._path = path.absolute()
        self._names = None if names is None else frozenset(name.upper() for name in names)
        self._nested_prefix = nested_prefix
        self._write = write
        self._safety = safety

    @property
    def location(self) -> str:
        return str(self._path)

    def read(self) -> FlagFile:
        before = self._stamp()
        body = self._bytes()
        # Whoever wrote while this was read may be done by now, and its copy gone: what was read in between is half of each.
        moved = body != self._bytes() or before != self._stamp()
        if moved or self._torn(body) or self._swapped_out():
            # Perhaps another process is writing it over at this moment: look again when it is done.
            with contextlib.suppress(TimeoutError), durable.exclusively(self._target.parent):
                body = self._bytes()
            self._refuse_torn(body)
        return self._file(body)

    def preview(self, entries: Mapping[str, str | None]) -> FlagChange:
        before = self._text(self._bytes())
        try:
            after = before.edited(entries)
        except EditError as error:
            raise InvalidSetup(
                f"{self._path}: {error}", hint="Mend the file by hand, then try again."
            ) from error
        flags = frozenset(flag.upper() for flag in entries)
        return FlagChange(before.text, after.text, difference(before, after, self.location, flags))

    def write(self, entries: Mapping[str, str | None], *, expected: str) -> FlagFile:
        try:
            self._bytes()
            with durable.exclusively(self._target.parent):
                return self._file(self._change(entries, expected))
        except InvalidSetup as error:
            raise StepFailed(error.message, hint=error.hint) from error
        except OSError as error:
            raise self._failed(error) from error

    def findings(self, names: Mapping[str, bool]) -> list[str]:
        content = self._text(self._bytes())
        asked = frozenset(name.upper() for name in names)
        found = findings(
            content,
            asked,
            self._names or frozenset(),
            location=self.location,
            nested_prefix=self._nested_prefix,
        )
        why = self._why_not_writable()
        return [f"{self.location}:1: {why}", *found] if why else found

    def _change(self, entries: Mapping[str, str | None], expected: str) -> bytes:
        body = self._bytes()
        self._refuse_changed(body, expected)
        try:
            new = self._text(body).edited(entries).text.encode()
        except EditError as error:
            raise StepFailed(
                f"{self._path}: {error}", hint="Mend the file by hand, then try again."
            ) from error
        if new == body:
            self._refuse_torn(body)
            with contextlib.suppress(OSError):
                self._clear_up()
            return body
        if why := self._why_not_writable():
            raise StepFailed(f"the flag file {self._path}: {why}")
        self._refuse_torn(body)
        target = self._target
        self._clear_up()
        if self._write == "in-place" or (self._write == "auto" and _must_stay(target)):
            self._write_over(target, body, new)
        else:
            try:
                self._replace(target, body, new)
            except PermissionError:
                # The owner could not be kept, or the folder takes no new file. The file itself may still be
                # written.
                if self._write == "atomic":
                    raise
                self._write_over(target, body, new)
        if self._bytes() != new:
            raise StepFailed(
                f"the flag file {self._path} was changed by somebody else right after it was written",
                hint="Find out who else writes to it.",
                unknown=True,
            )
        return new

    def _replace(self, target: Path, old: bytes, new: bytes) -> None:
        """A new file takes the old one's place; whatever others write at this moment is never lost by it."""
        slot = target.with_name(f"{_copy_prefix(target)}{_digest(old)[:12]}-{_digest(new)[:12]}.swap")
        try:
            swapping.swap_in(target, new, slot=slot, expected=lambda found: found == old)
        except swapping.Unsupported:
            # A window of microseconds is left here, between the last look and the move.
            durable.replace(
                target, new, like=target, last_look=lambda: self._refuse_changed(self._bytes(), _digest(old))
            )
        except swapping.Changed:
            raise self._changed_meanwhile() from None
        except swapping.Kept as kept:
            raise StepFailed(
                f"the flag file {self._path} was changed twice by others while it was written",
                hint=f"The later change is in the file, the earlier one in {kept.slot}: put them together by hand.",
                unknown=True,
            ) from None
        except FileNotFoundError:
            raise StepFailed(
                f"the flag file {self._path} was removed by somebody else meanwhile; it was left so",
                hint="Find out who removed it and why; put it back, then try again.",
            ) from None

    def _write_over(self, target: Path, old: bytes, new: bytes) -> None:
        """Write the same file over, so that it keeps its place; a copy of the old bytes lies ready."""
        folder = self._safety or target.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = folder / f"{_copy_prefix(target)}{_digest(old)[:12]}-{_digest(new)[:12]}.before"
        put_back = True
        try:
            durable.write_new(copy, old)
            descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._refuse_changed(os.pread(descriptor, _MAX_BYTES + 1, 0), _digest(old))
                put_back = False
                _overwrite(descriptor, old, new)
                put_back = True
            except BaseException:
                put_back = put_back or os.pread(descriptor, _MAX_BYTES + 1, 0) == old
                if not put_back:
                    raise StepFailed(
                        f"the flag file {target} could neither be written nor put back",
                        hint=f"Its old content is in {copy}: copy it back.",
                        unknown=True,
                    ) from None
                raise
            finally:
                os.close(descriptor)
        finally:
            if put_back:
                copy.unlink(missing_ok=True)
                durable.sync_folder(folder)

    def _clear_up(self) -> None:
        """Remove what writes that were cut off have left; the file itself was found to be whole."""
        target = self._target
        for copy in (*self._copies(), *_leftovers(target.parent, target, "swap")):
            copy.unlink(missing_ok=True)
        durable.remove_leftovers(target)

    @property
    def _target(self) -> Path:
        return Path(os.path.realpath(self._path))

    def _copies(self) -> list[Path]:
        """What in-place writes that were cut off have left; their names tell the file before and after."""
        target = self._target
        return _leftovers(self._safety or target.parent, target, "before")

    def _torn(self, body: bytes) -> Path | None:
        """The copy of a cut-off write, where the file is neither what it was nor what it was to become."""
        now = _digest(body)[:12]
        for copy in self._copies():
            before, after = copy.name.removesuffix(".before")[-25:].split("-")
            # A copy that is not whole was cut off itself, before the file was touched.
            if now in (before, after):
                continue
            try:
                whole = _digest(copy.read_bytes())[:12] == before
            except FileNotFoundError:
                return (
                    copy  # its writer has just come to the end: what was read of the file may be half of it
                )
            if whole:
                return copy
        return None

    def _swapped_out(self) -> Path | None:
        """What another had written, in the hand of a write of ours that was cut off at that very moment."""
        target = self._target
        for slot in _leftovers(target.parent, target, "swap"):
            before, after = slot.name.removesuffix(".swap")[-25:].split("-")
            with contextlib.suppress(FileNotFoundError):
                if slot.is_symlink() or not slot.is_file():
                    return slot
                if _digest(slot.read_bytes())[:12] not in (before, after):
                    return slot
        return None

    def _refuse_torn(self, body: bytes) -> None:
        if slot := self._swapped_out():
            raise InvalidSetup(
                f"the flag file {self._path} was being changed by somebody else when writing it was cut off;"
                f" their version is in {slot}",
                hint=f"Compare the two, put into the file what is missing, then remove {slot}.",
            )
        if copy := self._torn(body):
            raise InvalidSetup(
                f"the flag file {self._path} may be torn: writing it was cut off by a crash",
                hint=f"Compare it with its old content in {copy}; put that back, or keep what is there; "
                f"then remove {copy}.",
            )

    def _file(self, body: bytes) -> FlagFile:
        declared = {
            flag: line
            for flag, line in self._text(body).declared.items()
            if self._names is None or flag in self._names
        }
        return FlagFile(
            location=self.location,
            digest=_digest(body),
            values={flag: line.value or "" for flag, line in declared.items()},
            entries={flag: line.own for flag, line in declared.items()},
            lines={flag: line.number for flag, line in declared.items()},
        )

    def _text(self, body: bytes) -> FlagText:
        remedy = "Save it as UTF-8 text."
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InvalidSetup(
                f"the flag file {self._path} is UTF-16, which the gateway cannot read", hint=remedy
            )
        if b"\0" in body:
            raise InvalidSetup(f"the flag file {self._path} is not text", hint=remedy)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            raise InvalidSetup(f"the flag file {self._path}:{line} is not UTF-8", hint=remedy) from error
        return FlagText(text, nested_prefix=self._nested_prefix)

    def _stamp(self) -> tuple[int, int, int]:
        """What changes with each write; zeros where there is no such file, of which `_bytes` says more."""
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0, 0
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _bytes(self) -> bytes:
        where = "gateway.flags.file in the environment file"
        try:
            # Not to wait for ever where the path is a pipe.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise InvalidSetup(
                f"the flag file {self._path} does not exist",
                hint=f"Create it, or set {where} to the file that the gateway reads.",
            ) from None
        except OSError as error:
            raise InvalidSetup(
                f"the flag file {self._path} cannot be read: {error.strerror}",
                hint=f"Let this user read it, or set {where} to the file that the gateway reads.",
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                kind = "a folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "not a regular file"
                raise InvalidSetup(
                    f"the flag file {self._path} is {kind}",
                    hint=f"Set {where} to the file that the gateway reads.",
                )
            with open(descriptor, "rb", closefd=False) as stream:
                body = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise InvalidSetup(f"the flag file {self._path} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)
        if len(body) > _MAX_BYTES:
            raise InvalidSetup(
                f"the flag file {self._path} is larger than 64 KiB",
                hint=f"Set {where} to the file that the gateway reads.",
            )
        return body

    def _why_not_writable(self) -> str:
        # The mode counts for root too, to whom the system would let it pass: somebody meant it.
        if not self._path.stat().st_mode & 0o222:
            return "it is read-only (let its owner write it: chmod u+w)"
        if not os.access(self._path, os.W_OK):
            return "this user may not write it (let this user write it, or run as its owner)"
        return ""

    def _refuse_changed(self, body: bytes, expected: str) -> None:
        if _digest(body) != expected:
            raise self._changed_meanwhile()

    def _changed_meanwhile(self) -> StepFailed:
        return StepFailed(
            f"the flag file {self._path} was changed by somebody else meanwhile, or is being written now;"
            " it was left as it is",
            hint="Look at what changed (and `lsof` at who has it open), then try again.",
        )

    def _failed(self, error: OSError) -> StepFailed:
        if isinstance(error, durable.SyncError):
            return StepFailed(
                f"the flag file {self._path} was written, but the disk did not confirm it: {error.strerror}",
                hint="Look at the system's log for what the disk says.",
                unknown=True,
            )
        hints = {
            errno.ENOSPC: "Make room on its disk, then try again.",
            errno.EDQUOT: "Make room in this user's quota, then try again.",
            errno.ETIMEDOUT: "Find it (`lsof`, `fuser -v`) and end it, then try again.",
            errno.EROFS: "Its file system is read-only: mount it writable.",
            errno.EBUSY: "It is mounted by itself: set `write: in-place` or `auto` for gateway.flags.",
        }
        hint = hints.get(error.errno or 0, "Let this user write the file and its folder.")
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        return StepFailed(
            f"the flag file {self._path} could not be written: {why}; it is as it was", hint=hint
        )


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _overwrite(descriptor: int, old: bytes, new: bytes) -> None:
    """Write a file over; where that fails, try to write the old bytes again."""
    try:
        if len(new) > len(old) and hasattr(os, "posix_fallocate"):
            # Room first: with the disk full, the old bytes have not been touched yet.
            os.posix_fallocate(descriptor, 0, len(new))
        durable.write_all(descriptor, new)
        os.ftruncate(descriptor, len(new))
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, len(old))
            durable.write_all(descriptor, old)
            os.fsync(descriptor)
        raise


def _copy_prefix(target: Path) -> str:
    """Names the copies of one file, also in a folder where those of others lie."""
    return f".{target.name[:80]}.{_digest(os.fsencode(target))[:8]}."


def _leftovers(folder: Path, target: Path, ending: str) -> list[Path]:
    """Copies of a file before and after, which a write that was cut off has left."""
    pattern = re.compile(re.escape(_copy_prefix(target)) + rf"[0-9a-f]{{12}}-[0-9a-f]{{12}}\.{ending}")
    try:
        return sorted(entry for entry in folder.iterdir() if pattern.fullmatch(entry.name))
    except OSError:
        return []


def _must_stay(target: Path) -> bool:
    """Whether this very file must be written over: it has other names, or is mounted by itself."""
    return target.stat().st_nlink > 1 or _mounted(target)


def _mounted(target: Path) -> bool:
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return target.stat().st_dev != target.parent.stat().st_dev
    for line in mounts.splitlines():
        point = line.split(" ")[4]
        if re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), point) == str(target):
            return True
    return False
