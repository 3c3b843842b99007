//! The JSON-RPC without a port: request bodies in, answers out, through the same table and limits.

use std::sync::Arc;

use eyre::eyre;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{
    HttpBody, HttpRequest, ServerBuilder, ServerHandle, StopHandle, stop_channel,
};
use tower::Service;

use super::batch::BatchLayer;
use super::{Backend, RpcConfig, server_config, silence, table};

type Answer = BoxFuture<'static, eyre::Result<Vec<u8>>>;

/// Answers requests of this process.
pub struct Portless {
    answer: Box<dyn Fn(Vec<u8>) -> Answer + Send + Sync>,
    // The methods end with it.
    _handle: ServerHandle,
}

impl Portless {
    /// The methods of a node. Hosts, origins and the time of a whole request are matters of a port.
    pub fn new(backend: Arc<dyn Backend>, config: RpcConfig) -> eyre::Result<Self> {
        let server_config = server_config(&config);
        let batches = BatchLayer::new(backend.clone(), &config);
        let (table, names) = table(backend, config)?;
        let (stop, handle): (StopHandle, ServerHandle) = stop_channel();
        let service = ServerBuilder::with_config(server_config)
            .set_http_middleware(tower::ServiceBuilder::new().map_response(silence))
            .set_rpc_middleware(RpcServiceBuilder::new().layer(names).layer(batches))
            .to_service_builder()
            .build(table.0, stop);
        let answer = move |body: Vec<u8>| -> Answer {
            let mut service = service.clone();
            Box::pin(async move {
                let request = HttpRequest::post("/")
                    .header("content-type", "application/json")
                    .body(HttpBody::from(body))?;
                let response = service.call(request).await.map_err(|error| eyre!("{error}"))?;
                let body =
                    response.into_body().collect().await.map_err(|error| eyre!("{error}"))?;
                Ok(body.to_bytes().to_vec())
            })
        };
        Ok(Self { answer: Box::new(answer), _handle: handle })
    }

    /// The answer to the body of one request; empty if there is none to give.
    pub async fn answer(&self, body: Vec<u8>) -> eyre::Result<Vec<u8>> {
        (self.answer)(body).await
    }
}
