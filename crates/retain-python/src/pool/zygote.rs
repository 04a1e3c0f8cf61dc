//! The helper that is forked for each worker.

use std::os::fd::IntoRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use retain_pool::starter::take_inherited_socket;
use retain_pool::starter::zygote::Server;

use super::raised;

/// Serves the supervisor that this process was started by.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct ZygoteServer {
    server: Mutex<Option<Server>>,
}

impl ZygoteServer {
    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> PyErr {
    PyRuntimeError::new_err("this process is not the zygote any more")
}

#[pymethods]
impl ZygoteServer {
    /// Takes the socket that this process was started with.
    #[new]
    fn new() -> PyResult<Self> {
        let socket = take_inherited_socket()?;
        let server = Server::new(socket).map_err(|error| raised(&error))?;
        Ok(Self {
            server: Mutex::new(Some(server)),
        })
    }

    /// Waits until a worker is wanted: its index, and the descriptor of its socket. None: the zygote is to end.
    fn wait(&self, py: Python<'_>) -> PyResult<Option<(u32, i32)>> {
        let request = py.detach(|| self.server().as_ref().map(Server::wait));
        let request = request
            .ok_or_else(closed)?
            .map_err(|error| raised(&error))?;
        Ok(request.map(|request| (request.index, request.socket.into_raw_fd())))
    }

    /// Says that the process for a worker is `pid`, or 0 if there is none.
    fn started(&self, index: u32, pid: i32) -> PyResult<()> {
        let server = self.server();
        let server = server.as_ref().ok_or_else(closed)?;
        server.started(index, pid).map_err(|error| raised(&error))
    }

    /// Lets go of what is the zygote's: for the worker that was forked.
    fn close(&self) {
        if let Some(server) = self.server().take() {
            server.forked();
        }
    }
}
