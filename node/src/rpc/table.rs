//! How a namespace registers its methods, and how their parameters are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::Params;
use jsonrpsee::{Extensions, IntoResponse, MethodCallback, MethodResponse, RpcModule};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};

use super::RpcConfig;
use super::backend::Backend;
use super::error::{RpcError, RpcResult};
use super::eth_filters::Filters;
use super::metalayer::Outboxes;
use super::rendered::Rendered;
use super::workers::{self, Waiting, Work};
use crate::metrics::{MethodMetrics, Outcome};

/// What every method can reach.
pub(crate) struct Api {
    /// The node.
    pub(crate) backend: Arc<dyn Backend>,
    /// Limits.
    pub(crate) config: RpcConfig,
    /// Namespaces that answer.
    pub(crate) enabled: Vec<&'static str>,
    /// Filters that clients poll.
    pub(crate) filters: Filters,
    /// Outbox trees read so far.
    pub(crate) outboxes: Outboxes,
    /// Logs that were written before.
    pub(crate) rendered: Rendered,
    /// One for each worker.
    pub(crate) workers: Arc<Semaphore>,
    /// Held by who signs and sends for an account of this node.
    pub(crate) signing: tokio::sync::Mutex<()>,
}

impl Api {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        config: RpcConfig,
        enabled: Vec<&'static str>,
    ) -> Self {
        let workers = Arc::new(Semaphore::new(config.workers.max(1)));
        Self {
            backend,
            config,
            enabled,
            filters: Filters::default(),
            outboxes: Outboxes::default(),
            rendered: Rendered::default(),
            workers,
            signing: tokio::sync::Mutex::default(),
        }
    }

    /// Runs work that may take long on a worker thread: at most `config.workers` at a time, each
    /// answered within `config.call_timeout`. The work gets the time at which it should give up;
    /// one that does not look keeps its worker, never the client.
    pub(crate) async fn heavy<R: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self, Instant) -> RpcResult<R> + Send + 'static,
    ) -> RpcResult<R> {
        let limit = self.config.call_timeout;
        let deadline = Instant::now() + limit;
        let permit = match timeout(limit, self.workers.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(RpcError::busy()),
        };
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&self, deadline);
            drop(permit);
            result
        });
        match timeout_at(deadline.into(), task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(RpcError::internal(panic)),
            Err(_) => Err(RpcError::timeout(limit)),
        }
    }
}

/// The methods of the server, while namespaces add theirs.
pub(crate) struct Table {
    /// All methods.
    pub(crate) module: RpcModule<Api>,
    /// Those that need a worker.
    pub(crate) works: HashMap<&'static str, Work>,
    api: Arc<Api>,
}

impl Table {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        let module = RpcModule::from_arc(api.clone());
        Self { module, works: HashMap::new(), api }
    }

    /// What the methods reach.
    pub(crate) fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// A method that answers from memory or with a few reads.
    pub(crate) fn quick<R, F>(
        &mut self,
        name: &'static str,
        run: F,
    ) -> Result<(), RegisterMethodError>
    where
        R: Serialize + Clone + 'static,
        F: Fn(&Api, &Args) -> RpcResult<R> + Send + Sync + 'static,
    {
        let calls = self.calls(name);
        self.module.register_method(name, move |params, api: &Api, _: &Extensions| {
            let call = api.config.metrics.begin(&calls);
            let result = Args::new(&params).and_then(|args| run(api, &args));
            call.end(outcome(&result));
            result
        })?;
        Ok(())
    }

    /// A method that executes code or reads much: on a worker, see [`workers::run`].
    pub(crate) fn heavy<R, F>(
        &mut self,
        name: &'static str,
        run: F,
    ) -> Result<(), RegisterMethodError>
    where
        R: Serialize + Clone + Send + 'static,
        F: Fn(&Api, &Args, Instant) -> RpcResult<R> + Copy + Send + Sync + 'static,
    {
        let calls = self.calls(name);
        let work: Work = Arc::new(move |api, params, id, deadline, most_bytes| {
            let call = api.config.metrics.begin(&calls);
            let result = Args::new(params).and_then(|args| run(api, &args, deadline));
            call.end(outcome(&result));
            MethodResponse::response(id, result.into_response(), most_bytes)
        });
        self.works.insert(name, work.clone());
        let api = self.api.clone();
        let one = MethodCallback::Async(Arc::new(move |id, params, _, most_bytes, _| {
            let (api, work) = (api.clone(), work.clone());
            async move { workers::one(&api, Waiting { work, id, params }, most_bytes).await }
                .boxed()
        }));
        self.module.verify_and_insert(name, one)?;
        Ok(())
    }

    /// A method that waits for something.
    pub(crate) fn waiting<R, F, Fut>(
        &mut self,
        name: &'static str,
        run: F,
    ) -> Result<(), RegisterMethodError>
    where
        R: Serialize + Clone + Send + 'static,
        F: Fn(Arc<Api>, Args) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = RpcResult<R>> + Send,
    {
        let calls = self.calls(name);
        self.module.register_async_method(name, move |params, api: Arc<Api>, _| {
            let calls = calls.clone();
            async move {
                let metrics = api.config.metrics.clone();
                let call = metrics.begin(&calls);
                let result = match Args::new(&params) {
                    Ok(args) => run(api, args).await,
                    Err(error) => Err(error),
                };
                call.end(outcome(&result));
                result
            }
        })?;
        Ok(())
    }

    /// Counters of a method.
    fn calls(&self, name: &'static str) -> Arc<MethodMetrics> {
        self.api.config.metrics.method(name)
    }
}

fn outcome<R>(result: &RpcResult<R>) -> Outcome {
    Outcome::of(result.as_ref().err().map(RpcError::code))
}

/// Positional parameters. Missing `params`, `null` and `[]` are all "none"; `null` in a place is
/// the same as leaving it out.
pub(crate) struct Args(Vec<Box<RawValue>>);

impl Args {
    pub(crate) fn new(params: &Params<'_>) -> RpcResult<Self> {
        match params.as_str() {
            None | Some("" | "null") => Ok(Self(Vec::new())),
            Some(text) => serde_json::from_str(text)
                .map(Self)
                .map_err(|_| RpcError::params("non-array args: params must be a list")),
        }
    }

    /// The parameter at a place, which must be there.
    pub(crate) fn need<T: DeserializeOwned>(&self, at: usize, name: &str) -> RpcResult<T> {
        self.option(at, name)?.ok_or_else(|| {
            RpcError::params(format!("missing value for required argument {at} ({name})"))
        })
    }

    /// The parameter at a place, if it is there.
    pub(crate) fn option<T: DeserializeOwned>(
        &self,
        at: usize,
        name: &str,
    ) -> RpcResult<Option<T>> {
        let Some(raw) = self.0.get(at) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|error| RpcError::argument(at, name, &error))
    }
}
