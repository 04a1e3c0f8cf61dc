//! Single flight among tasks, on an executor of a few lines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use retain_memory::Cache;

/// Tells that a task is to be polled again.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

type Task<'a> = (Arc<Ready>, Pin<Box<dyn Future<Output = ()> + 'a>>);

/// Polls the tasks that were woken, in turns, until all are done.
///
/// # Panics
/// If tasks are left of which none was woken: they would wait for ever.
fn run<'a>(tasks: impl IntoIterator<Item = Pin<Box<dyn Future<Output = ()> + 'a>>>) {
    let mut tasks: VecDeque<Task<'a>> = tasks
        .into_iter()
        .map(|task| (Arc::new(Ready(AtomicBool::new(true))), task))
        .collect();
    let mut asleep = 0;
    while let Some((ready, mut task)) = tasks.pop_front() {
        if ready.0.swap(false, Ordering::AcqRel) {
            asleep = 0;
            let waker = Waker::from(Arc::clone(&ready));
            if task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                continue;
            }
        } else {
            asleep += 1;
            assert!(asleep <= tasks.len() + 1, "every task waits for another");
        }
        tasks.push_back((ready, task));
    }
}

/// Lets the other tasks run a number of times.
struct Yield(usize);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn cache() -> Cache<u64, u64> {
    Cache::builder()
        .max_entries(100)
        .build()
        .expect("it is sound")
}

#[test]
fn a_thousand_tasks_with_one_key_compute_once() {
    let (cache, calls) = (cache(), AtomicUsize::new(0));
    run((0..1000).map(|_| {
        let (cache, calls) = (&cache, &calls);
        let task = async move {
            let value = cache
                .get_or_insert_async(1, async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    Yield(3).await;
                    10
                })
                .await;
            assert_eq!(value, 10);
        };
        Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>
    }));
    assert_eq!(calls.into_inner(), 1);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (999, 1));
}

#[test]
fn an_error_reaches_every_task_and_the_next_one_computes_again() {
    let (cache, calls) = (cache(), AtomicUsize::new(0));
    run((0..10).map(|_| {
        let (cache, calls) = (&cache, &calls);
        let task = async move {
            let result = cache
                .try_get_or_insert_async(1, async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    Yield(3).await;
                    Err("no such page")
                })
                .await;
            assert_eq!(result, Err(Arc::new("no such page")));
        };
        Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>
    }));
    assert_eq!(calls.into_inner(), 1);
    let again: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        let result = cache.try_get_or_insert_async(1, async { Ok::<_, &str>(2) });
        assert_eq!(result.await, Ok(2));
    });
    run([again]);
}

#[test]
fn when_the_task_that_computes_is_dropped_one_that_waits_computes() {
    let (cache, calls) = (cache(), AtomicUsize::new(0));
    let ask = || {
        cache.get_or_insert_async(1, async {
            calls.fetch_add(1, Ordering::Relaxed);
            Yield(3).await;
            10
        })
    };
    let mut leader = Box::pin(ask());
    let mut context = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut context).is_pending());
    let done = Rc::new(RefCell::new(0));
    let waiters: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..5)
        .map(|_| {
            let (waiter, done) = (ask(), Rc::clone(&done));
            let task = async move {
                assert_eq!(waiter.await, 10);
                *done.borrow_mut() += 1;
            };
            Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>
        })
        .collect();
    let canceller: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        Yield(5).await;
        drop(leader);
    });
    run(waiters.into_iter().chain([canceller]));
    assert_eq!(*done.borrow(), 5);
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "the one that was dropped, and one more"
    );
    assert_eq!(cache.in_flight(), 0);
}

#[test]
fn dropping_one_that_waits_harms_no_other() {
    let (cache, calls) = (cache(), AtomicUsize::new(0));
    let ask = || {
        cache.get_or_insert_async(1, async {
            calls.fetch_add(1, Ordering::Relaxed);
            Yield(5).await;
            10
        })
    };
    let leader = async { assert_eq!(ask().await, 10) };
    let dropped = async {
        let mut waiter = Box::pin(ask());
        std::future::poll_fn(|context| {
            assert!(waiter.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(waiter);
    };
    let waiter = async { assert_eq!(ask().await, 10) };
    let tasks: [Pin<Box<dyn Future<Output = ()>>>; 3] =
        [Box::pin(leader), Box::pin(dropped), Box::pin(waiter)];
    run(tasks);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_task_may_ask_for_the_key_it_computes() {
    let cache = cache();
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
        let inner = cache.get_or_insert_async(1, async { 3 });
        let value = cache
            .get_or_insert_async(1, async { inner.await + 1 })
            .await;
        assert_eq!(value, 4);
    });
    run([task]);
    assert_eq!(cache.get(&1), Some(4));
}

#[test]
fn tasks_that_need_one_another_do_not_wait_for_ever() {
    let cache = cache();
    let task = |own: u64, other: u64| {
        let cache = &cache;
        let task = async move {
            let value = cache
                .get_or_insert_async(own, async {
                    Yield(2).await;
                    cache.get_or_insert_async(other, async { 100 }).await + own
                })
                .await;
            assert!(value > 100);
        };
        Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>
    };
    run([task(1, 2), task(2, 1)]);
    assert_eq!(cache.in_flight(), 0);
}

#[test]
fn a_future_of_the_cache_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let cache = cache();
    is_send(&cache.get_or_insert_async(1, async { 1 }));
}
