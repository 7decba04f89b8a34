//! What a session's file is made of: a `SQLite` database with these tables.
//!
//! Its version goes up when an older leaktrace could not read what a newer one writes.

use std::{fs::File, io::Read, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::text::printable;

/// `LEAK`, in the place that `SQLite` has for programs' marks.
const APPLICATION: i32 = 0x4c45_414b;

/// The version that this build writes, and the newest that it reads.
pub const VERSION: i32 = 1;

/// What a `SQLite` database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The other side holds the file for moments only.
const PATIENCE: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE about(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE modules(number INTEGER PRIMARY KEY, name TEXT NOT NULL, build_id TEXT);
    CREATE TABLE frames(number INTEGER PRIMARY KEY, module INTEGER, offset INTEGER NOT NULL, function TEXT, file TEXT,
        line INTEGER, inlined INTEGER NOT NULL, kind TEXT NOT NULL);
    CREATE TABLE stacks(number INTEGER PRIMARY KEY, id TEXT NOT NULL, pid INTEGER NOT NULL, complete INTEGER NOT NULL,
        frames BLOB NOT NULL);
    CREATE TABLE snapshots(number INTEGER PRIMARY KEY, elapsed_s REAL NOT NULL, time TEXT NOT NULL, label TEXT,
        head BLOB NOT NULL, points BLOB NOT NULL, lives BLOB);
    CREATE TABLE events(number INTEGER PRIMARY KEY, count INTEGER NOT NULL, block BLOB NOT NULL);
";

/// Makes an empty file a session's. A reader finds either nothing or all of this.
pub fn create(path: &Path) -> Result<Connection> {
    // SQLite would follow no link to any folder on the way either, and a service manager's folders are behind one.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = folder.canonicalize()?.join(path.file_name().unwrap_or_default());
    let connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(PATIENCE)?;
    // The death of leaktrace loses nothing that was committed; that of the machine may.
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = DELETE; PRAGMA temp_store = MEMORY;")?;
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {TABLES} COMMIT;"
    ))?;
    let version = env!("CARGO_PKG_VERSION");
    connection.execute("INSERT INTO about VALUES ('made by', 'leaktrace ' || ?1)", [version])?;
    Ok(connection)
}

/// Opens a session to read it, or says what else the file is.
pub fn open(path: &Path) -> Result<Connection> {
    let name = printable(&path.to_string_lossy()).into_owned();
    let metadata = std::fs::metadata(path).with_context(|| format!("{name} cannot be read; give a session's file"))?;
    ensure!(!metadata.is_dir(), "{name} is a directory; give a session's file");
    ensure!(metadata.is_file(), "{name} is not a file; give a session that was written with -w");
    let mut magic = [0; MAGIC.len()];
    let mut file = File::open(path).with_context(|| format!("{name} cannot be read; give a session's file"))?;
    let is_database = file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    ensure!(is_database, "{name} is not a session; give a file that was written with -w");
    let connection = connect(path).with_context(|| format!("{name} cannot be opened; make it readable"))?;
    let (application, version) = marks(&connection).map_err(|error| broken(&name, &error))?;
    if application != APPLICATION {
        bail!("{name} is a SQLite database, but not a session; give a file that was written with -w");
    }
    if version > VERSION {
        bail!("{name} was written by a newer leaktrace (format {version}, this one reads {VERSION}); use that one");
    }
    ensure!(version == VERSION, "{name} has a format that never was ({version}); give another session");
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // What a recorder that was killed has left half done is undone by whoever opens next, who has to write for that.
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, read)?;
    connection.busy_timeout(PATIENCE)?;
    let checks = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;";
    connection.execute_batch(checks)?;
    Ok(connection)
}

fn marks(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    Ok((
        connection.query_row("PRAGMA application_id", [], |row| row.get(0))?,
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
    ))
}

/// What to say of a file that is a session and cannot be read as one.
pub fn broken(name: &str, error: &rusqlite::Error) -> anyhow::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            anyhow::anyhow!("{name} is held by another program; try again when that has ended")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => anyhow::anyhow!(
            "{name} was left half written and its folder cannot be written to; copy it, with the file {name}-journal, to \
             where it can"
        ),
        _ => anyhow::anyhow!("{name} is broken or cut off ({error}); give another session"),
    }
}
