//! A pool of worker processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use retain_pool::{Command, Payload, RunOptions, Settings, Starter, Window};

use super::raised;
use super::run::{Rules, Run};

/// Worker processes of one configuration.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Pool {
    pool: retain_pool::Pool,
}

#[pymethods]
impl Pool {
    /// Begins to start up to so many workers by `command`, and does not wait for them.
    #[new]
    #[pyo3(signature = (command, env, workers, *, starter="zygote", memory_limit=None, idle=300.0))]
    fn new(
        py: Python<'_>,
        command: Vec<OsString>,
        env: BTreeMap<OsString, OsString>,
        workers: usize,
        starter: &str,
        memory_limit: Option<u64>,
        idle: f64,
    ) -> PyResult<Self> {
        let mut words = command.into_iter();
        let Some(program) = words.next() else {
            return Err(PyValueError::new_err("command is empty"));
        };
        let mut command = Command::new(program);
        command.args = words.collect();
        command.env = env.into_iter().collect();
        let starter = match starter {
            "zygote" => Starter::Zygote(command),
            "spawn" => Starter::Spawn(command),
            _ => {
                return Err(PyValueError::new_err(format!(
                    "starter is {starter:?}, but it must be 'zygote' or 'spawn'"
                )));
            }
        };
        let mut settings = Settings::new(starter, workers);
        settings.memory_limit = memory_limit;
        settings.idle = seconds("idle", idle)?;
        let pool = py.detach(|| retain_pool::Pool::new(settings));
        Ok(Self {
            pool: pool.map_err(|error| raised(&error))?,
        })
    }

    /// Sees to it that there may be at least so many workers.
    fn grow(&self, py: Python<'_>, workers: usize) {
        py.detach(|| self.pool.grow(workers));
    }

    /// Index, process, whether it is busy, tasks done, and bytes of memory of each worker.
    fn workers(&self, py: Python<'_>) -> Vec<(u32, i32, bool, u64, u64)> {
        let workers = py.detach(|| self.pool.workers());
        let told = workers.into_iter();
        told.map(|worker| {
            (
                worker.index,
                worker.pid,
                worker.busy,
                worker.tasks,
                worker.rss,
            )
        })
        .collect()
    }

    /// Kills all processes of the pool and waits until they are dead.
    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.pool.shutdown());
    }

    /// Begins a set of tasks. `context` is told to each worker first; `helpers` has the functions of Python's side.
    #[pyo3(signature = (context, helpers, *, width, retries=0, task_timeout=None, window=None, max_nbytes=None,
                        by_value=false, detailed=false))]
    #[expect(clippy::too_many_arguments, reason = "a class of the package's own")]
    fn run(
        &self,
        py: Python<'_>,
        context: &[u8],
        helpers: &Bound<'_, PyAny>,
        width: usize,
        retries: u32,
        task_timeout: Option<f64>,
        window: Option<usize>,
        max_nbytes: Option<usize>,
        by_value: bool,
        detailed: bool,
    ) -> PyResult<Run> {
        let options = RunOptions {
            context: Payload::from(context.to_vec()),
            width,
            retries,
            task_timeout: task_timeout
                .map(|timeout| seconds("task_timeout", timeout))
                .transpose()?,
            window: window.map_or(Window::Auto, Window::Tasks),
        };
        let run = py.detach(|| self.pool.run(options));
        let run = run.map_err(|error| raised(&error))?;
        let rules = Rules {
            max_nbytes,
            by_value,
            detailed,
        };
        Run::new(helpers, self.pool.arena().clone(), run, &rules)
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        PyValueError::new_err(format!(
            "{name} is {value}, but it must be a number of seconds"
        ))
    })
}

/// To be called before and after each fork, in the parent.
#[pyfunction]
pub(crate) fn note_fork() {
    retain_pool::segment::note_fork();
}
