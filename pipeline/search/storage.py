"""Where machines share trials: an Optuna storage in a database or in a journal file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileOpenLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from pipeline.common.errors import UserError
from pipeline.search.journal import Journal, JournalError

EXAMPLE = "postgresql://user:password@host/database"
# By the module that they bring.
PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}
SECONDS_FOR_A_LOCK = 60  # that SQLite waits while another process writes
# What Optuna raises where a file holds something else.
NO_JOURNAL = (
    *(ValueError, LookupError, TypeError),
    *(AttributeError, AssertionError, StorageInternalError),
)
PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds between attempts to create the tables

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_storage(place: str) -> BaseStorage:
    """Open a storage; its tables or its file are created where there are none.

    Args:
        place: URL of a database, which has a `://`, or path of a journal file. The file may lie
            on NFS version 3 or newer.

    Raises:
        UserError: it cannot be opened. No password is in the message.
    """
    return _open_database(place) if "://" in place else _open_journal(Path(place))


def open_study(place: str, name: str) -> optuna.Study:
    """Open the study of that name, or create it; its values are to be low.

    Raises:
        UserError: the storage cannot be opened.
    """
    return optuna.create_study(
        storage=open_storage(place), study_name=name, direction="minimize", load_if_exists=True
    )


@contextmanager
def losses_explained(command: str) -> Iterator[None]:
    """Say in one line that a storage went away; `command` is what goes on with the rest.

    Raises:
        UserError: it did.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"the storage can no longer be used ({_cause(error)}); when it is back, "
            f"`{command}` goes on with what is finished"
        ) from None


def _cause(error: Exception) -> str:
    """In a few words, and no secret among them."""
    return str(error) if isinstance(error, JournalError) else type(error).__name__


def _open_journal(path: Path) -> BaseStorage:
    if not path.parent.is_dir():
        raise UserError(
            f"the journal {path} cannot be opened: its folder does not exist; make it, or mount "
            "the file system that the machines share"
        )
    try:
        backend = Journal(str(path), lock_obj=JournalFileOpenLock(str(path)))
        # What opens for reading may still refuse to be written, hours later.
        with path.open("ab"):
            backend.require_whole_end()
            return JournalStorage(backend)
    except OSError as error:
        raise UserError(
            f"the journal {path} cannot be written: {error.strerror}; name a file in a folder "
            "that every machine can write"
        ) from None
    except NO_JOURNAL:
        raise UserError(
            f"{path} is no journal of Optuna; name a file that does not exist yet, or the URL of "
            f"a database, as {EXAMPLE} or sqlite:///{path}; delete it where it is a damaged one"
        ) from None


def _open_database(place: str) -> BaseStorage:
    try:
        url = make_url(place)
    except (SQLAlchemyError, ValueError):
        raise UserError(
            f"the storage has a :// but is no URL of a database; expected as in {EXAMPLE}, with "
            "special characters of the password as %40 for @"
        ) from None
    options: dict[str, object] = {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise UserError(
                "the storage is a database in memory, which no other process sees; name a file, "
                "as sqlite:////shared/tune.db"
            )
        options["connect_args"] = {"timeout": SECONDS_FOR_A_LOCK}
    try:
        engine = sqlalchemy.create_engine(url, **options)
        with engine.connect() as connection:
            sqlalchemy.inspect(connection).get_table_names()
        engine.dispose()
        return _with_tables(url, options)
    except NoSuchModuleError:
        raise UserError(
            f"the storage is of the unknown kind {url.drivername}; expected as in {EXAMPLE}, "
            "mysql://... or sqlite:///..."
        ) from None
    except ImportError as error:
        package = PACKAGES.get(error.name or "", error.name)
        raise UserError(
            f"a storage of the kind {url.drivername} needs a driver that is not installed; "
            f"install it with `pip install {package}`"
        ) from None
    except Exception as error:  # each driver has errors of its own
        raise UserError(
            f"the storage {_shown(url)} cannot be used: {_reason(error, url)}; check that the "
            "database runs and lets this machine in"
        ) from None


def _with_tables(url: URL, options: dict[str, object]) -> BaseStorage:
    # Optuna fills in a URL as a template; the braces of a password are none.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    for pause in PAUSES:
        try:
            return RDBStorage(text, engine_kwargs=dict(options))
        except (DBAPIError, StorageInternalError):
            # Another machine is creating them at this moment.
            time.sleep(pause)
    return RDBStorage(text, engine_kwargs=dict(options))


def _shown(url: URL) -> str:
    """Without its password, and without options, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _reason(error: Exception, url: URL) -> str:
    options = [value for name, value in url.query.items() if "pass" in name.lower()]
    text = str(error) or type(error).__name__
    for secret in (url.password, *options):
        if secret:
            text = text.replace(str(secret), "***")
    return text.splitlines()[0][:160]
