//! Data points, and asking before one takes the place of newer data.

use std::path::Path;

use futures_util::StreamExt;
use lab_core::{
    AppName, DataPointId, ReleaseId,
    data::{Collection, DataPoint, Newer, PointReason},
    release::ReleaseView,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    args::Data,
    client::Client,
    error::CliError,
    output::{Output, table},
};

pub(crate) async fn data(client: &Client, app: &AppName, what: Data, output: &Output) -> Result<(), CliError> {
    let path = format!("/api/apps/{app}/data");
    match what {
        Data::Snapshot => {
            let point: DataPoint = client.post_long(&path).await?;
            output.data(&point, || format!("data point {} of {app}: {}", point.id, held(&point.collections)));
        }
        Data::List => {
            let all: Vec<DataPoint> = client.get(&path).await?;
            output.data(&all, || list(&all));
        }
        Data::Restore { id, yes } => {
            if !yes {
                ask(client, app, id, "restored", output).await?;
            }
            let replaced: DataPoint = client.post_long(&format!("{path}/{id}/restore")).await?;
            output.data(&replaced, || {
                format!("{app} has the data of {id} again; what it had is data point {}", replaced.id)
            });
        }
        Data::Download { id, output: file } => {
            let file = file.unwrap_or_else(|| format!("{app}-{id}.zip").into());
            let bytes = download(client, &format!("{path}/{id}/download"), &file).await?;
            output.data(&json!({"file": file, "bytes": bytes}), || format!("{} ({bytes} bytes)", file.display()));
        }
        Data::Verify { id } => {
            let point: DataPoint = client.post_long(&format!("{path}/{id}/verify")).await?;
            let wrong = point.checked.as_ref().map(|checked| checked.wrong.join("\n")).unwrap_or_default();
            let started = point.checked.as_ref().is_some_and(|checked| checked.started);
            output.data(&point, || match (wrong.is_empty(), started) {
                (true, true) => format!("{id} is whole, and PocketBase starts on it"),
                (true, false) => {
                    format!(
                        "the databases of {id} are whole; PocketBase was not started on it (the server's log says why)"
                    )
                }
                (false, _) => wrong.clone(),
            });
            if !wrong.is_empty() {
                return Err(CliError::local("the data point is damaged")(wrong.into()));
            }
        }
    }
    Ok(())
}

fn list(all: &[DataPoint]) -> String {
    table(
        ["DATA POINT", "TAKEN", "WHY", "RELEASE", "SIZE", "WHOLE", "HOLDS"],
        all.iter().map(|point| {
            [
                point.id.to_string(),
                format!("{:.0}", point.taken_at),
                match point.reason {
                    PointReason::Asked => "asked for".to_owned(),
                    PointReason::Deploy { .. } => "before a deploy".to_owned(),
                    PointReason::Replaced { .. } => "before a restore".to_owned(),
                    PointReason::TakenBack => "of what failed".to_owned(),
                },
                point.release.map(|id| id.to_string()).unwrap_or_default(),
                format!("{} MB", point.bytes.div_ceil(1_000_000)),
                match &point.checked {
                    None => "not looked at".to_owned(),
                    Some(checked) if checked.wrong.is_empty() && checked.started => format!("{:.0}", checked.at),
                    Some(checked) if checked.wrong.is_empty() => format!("{:.0}, not started", checked.at),
                    Some(_) => "DAMAGED".to_owned(),
                },
                held(&point.collections),
            ]
        }),
    )
}

/// Rows by collection.
fn held(collections: &[Collection]) -> String {
    let rows = collections.iter().map(|Collection { name, rows }| format!("{name}: {rows}"));
    let rows = rows.collect::<Vec<_>>().join(", ");
    if rows.is_empty() { "no rows".to_owned() } else { rows }
}

/// Asks before the data point of a rollback takes the place of the data.
pub(crate) async fn ask_for_rollback(
    client: &Client,
    app: &AppName,
    release: Option<ReleaseId>,
    output: &Output,
) -> Result<(), CliError> {
    let all: Vec<ReleaseView> = client.get(&format!("/api/apps/{app}/releases")).await?;
    let before = || all.iter().find(|view| view.is_before).map(|view| view.release.id);
    let points: Vec<DataPoint> = client.get(&format!("/api/apps/{app}/data")).await?;
    let wanted = release.or_else(before);
    match points.iter().find(|point| point.release.is_some() && point.release == wanted) {
        Some(point) => ask(client, app, point.id, "rolled back", output).await,
        // what is not there the server refuses, and says so better
        None => Ok(()),
    }
}

async fn ask(client: &Client, app: &AppName, id: DataPointId, what: &str, output: &Output) -> Result<(), CliError> {
    let newer: Vec<Newer> = client.get(&format!("/api/apps/{app}/data/{id}/newer")).await?;
    let lost = lost(&newer, id);
    if !output.is_interactive() {
        return Err(CliError::Usage(format!("{lost}; give --yes to go on without being asked")));
    }
    if output.asks(&format!("{lost}. What is replaced is kept as a data point. Shall {app} be {what}?")) {
        return Ok(());
    }
    Err(CliError::Usage(format!("{app} was not {what}")))
}

/// How many of a collection's rows are meant.
type Rows = fn(&Newer) -> u64;

/// What would be lost, in words.
fn lost(newer: &[Newer], id: DataPointId) -> String {
    let kinds: [(&str, Rows); 3] = [
        ("rows are newer and will be taken away", |it| it.rows),
        ("rows that changed since will be as they were", |it| it.changed),
        ("rows that were deleted since will be there again", |it| it.deleted),
    ];
    let parts = kinds.iter().filter_map(|(what, of)| {
        let rows = newer.iter().filter(|it| of(it) > 0).map(|it| Collection { name: it.name.clone(), rows: of(it) });
        let rows: Vec<Collection> = rows.collect();
        let sum: u64 = rows.iter().map(|it| it.rows).sum();
        (sum > 0).then(|| format!("{sum} {what} ({})", held(&rows)))
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        return format!("No row differs from data point {id}");
    }
    format!("Compared with data point {id}, {}", parts.join(", "))
}

/// Writes what the server sends into a new file; how many bytes it was.
async fn download(client: &Client, path: &str, file: &Path) -> Result<u64, CliError> {
    let failed = |e: std::io::Error| CliError::local("the file cannot be written")(e.into());
    let mut pieces = client.bytes(path).await?;
    let mut target = tokio::fs::OpenOptions::new().write(true).create_new(true).open(file).await.map_err(failed)?;
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        bytes += piece.len() as u64;
        target.write_all(&piece).await.map_err(failed)?;
    }
    target.sync_all().await.map_err(failed)?;
    Ok(bytes)
}
