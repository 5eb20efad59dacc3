//! Data points: taking them, looking at them, putting them in the place of the data.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use lab_core::{
    DataPointId,
    data::{DataPoint, Newer},
};
use tokio_util::io::ReaderStream;

use super::{
    Answer, Api,
    extract::{Chosen, Named},
};

pub(super) async fn list(State(api): State<Api>, Named(name): Named) -> Answer<Json<Vec<DataPoint>>> {
    Ok(Json(api.lab.points(&name).await?))
}

pub(super) async fn take(State(api): State<Api>, Named(name): Named) -> Answer<impl IntoResponse> {
    Ok((StatusCode::CREATED, Json(api.lab.take_point(&name).await?)))
}

pub(super) async fn newer(State(api): State<Api>, Chosen(name, id): Chosen<DataPointId>) -> Answer<Json<Vec<Newer>>> {
    Ok(Json(api.lab.newer_than_point(&name, id).await?))
}

pub(super) async fn restore(State(api): State<Api>, Chosen(name, id): Chosen<DataPointId>) -> Answer<Json<DataPoint>> {
    Ok(Json(api.lab.restore_point(&name, id).await?))
}

pub(super) async fn verify(State(api): State<Api>, Chosen(name, id): Chosen<DataPointId>) -> Answer<Json<DataPoint>> {
    Ok(Json(api.lab.verify_point(&name, id).await?))
}

pub(super) async fn download(State(api): State<Api>, Chosen(name, id): Chosen<DataPointId>) -> Answer<Response> {
    let archive = api.lab.export_point(&name, id).await?;
    let length = archive.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    let pieces = api.pieces(ReaderStream::with_capacity(tokio::fs::File::from_std(archive), 64 << 10))?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}-{id}.zip\"")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
