//! Stories of work that must not be lost and must not be done twice.

use std::time::Duration;

use super::*;
use crate::{
    clock::Clock,
    domain::{call::Direction, transcript::Transcript},
    store::{
        CallRow,
        testing::{TestStore, on_every_database},
    },
    telemetry::Private,
};

const TTL: Duration = Duration::from_secs(30);

on_every_database! {
    async fn adding_a_job_twice_adds_it_once_even_when_it_is_done(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        assert!(queue.enqueue(Kind::Draft, "a").await.expect("added"));
        assert!(!queue.enqueue(Kind::Draft, "a").await.expect("known"));
        assert!(queue.enqueue(Kind::Transcribe, "a").await.expect("another kind is another job"));
        let job = lease(&queue).await.expect("a job");
        queue.done(&job).await.expect("ours").commit().await.expect("done");
        assert!(!queue.enqueue(Kind::Draft, "a").await.expect("known"));
        assert_eq!(lease(&queue).await, None);
    }

    async fn a_job_is_leased_to_one_worker_oldest_first(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        for key in ["a", "b"] {
            queue.enqueue(Kind::Draft, key).await.expect("added");
            pass(&test, 1);
        }
        let (one, two, three) = (lease(&queue).await, lease(&queue).await, lease(&queue).await);
        assert_eq!([one.map(|job| job.key), two.map(|job| job.key)], [Some("a".into()), Some("b".into())]);
        assert_eq!(three, None);
    }

    async fn the_job_of_a_worker_that_died_runs_again_and_the_dead_one_cannot_finish_it(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let dead = lease(&queue).await.expect("a job");
        pass(&test, 29_999);
        assert_eq!(lease(&queue).await, None, "the lease still holds");
        pass(&test, 1);
        let alive = lease(&queue).await.expect("the lease ran out");
        assert_eq!((alive.id, alive.attempt), (dead.id, 2));
        assert!(matches!(queue.heartbeat(&dead, TTL).await, Err(JobError::LeaseLost(_))));
        assert!(matches!(queue.done(&dead).await, Err(JobError::LeaseLost(_))));
        assert!(matches!(queue.fail(&dead, "late", true).await, Err(JobError::LeaseLost(_))));
        queue.done(&alive).await.expect("ours").commit().await.expect("done");
    }

    async fn a_clock_that_is_set_takes_no_job_from_a_living_worker_and_leaves_none_to_a_dead_one(test: TestStore) {
        const HOUR: i64 = 3_600_000;
        for by in [HOUR, -HOUR] {
            let clock = Clock::that_can_be_advanced();
            let queue = Queue::new(Store::open(&test.url(), clock.clone()).await.expect("the same database"));
            let pass = |seconds| {
                clock.advance(Duration::from_secs(seconds));
                clock.step(i64::try_from(seconds).expect("few") * 1_000);
            };
            for key in ["alive", "dead", "waiting"] {
                queue.enqueue(Kind::Draft, format!("{key}{by}")).await.expect("added");
                clock.step(1); // one is older than the other
            }
            let (alive, dead) = (lease(&queue).await.expect("a job"), lease(&queue).await.expect("a job"));
            clock.step(by);
            let waiting = lease(&queue).await.expect("no clock keeps a job waiting");
            assert_eq!((waiting.key.as_str(), waiting.attempt), (format!("waiting{by}").as_str(), 1));
            assert_eq!(lease(&queue).await, None, "{by}: nobody knows yet who is alive");
            pass(20);
            for job in [&alive, &waiting] {
                queue.heartbeat(job, TTL).await.expect("it is theirs still");
            }
            assert_eq!(lease(&queue).await, None, "{by}: a living worker has as long as a lease lasts");
            pass(10);
            let again = lease(&queue).await.expect("the dead one has said nothing");
            assert_eq!((again.id, again.attempt), (dead.id, 2), "{by}");
            assert_eq!(lease(&queue).await, None, "{by}: the living ones keep theirs");
            for job in [alive, waiting, again] {
                queue.done(&job).await.expect("ours").commit().await.expect("done");
            }
        }
    }

    async fn a_heartbeat_keeps_the_lease(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let job = lease(&queue).await.expect("a job");
        for _ in 0..5 {
            pass(&test, 20_000);
            queue.heartbeat(&job, TTL).await.expect("alive");
            assert_eq!(lease(&queue).await, None);
        }
        queue.done(&job).await.expect("still ours");
    }

    async fn a_job_is_done_together_with_its_effect_or_not_at_all(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let job = lease(&queue).await.expect("a job");
        let mut tx = queue.done(&job).await.expect("ours");
        tx.enqueue(Kind::Transcribe, "effect").await.expect("an effect");
        drop(tx);
        assert_eq!(test.store.job("transcribe", "effect").await.expect("a look"), None);
        queue.heartbeat(&job, TTL).await.expect("it is ours still");
        let mut tx = queue.done(&job).await.expect("ours");
        tx.enqueue(Kind::Transcribe, "effect").await.expect("an effect");
        tx.commit().await.expect("committed");
        assert!(test.store.job("transcribe", "effect").await.expect("a look").is_some());
    }

    async fn a_failed_job_waits_longer_each_time_and_is_a_dead_letter_after_three(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        for wait in [2_000, 8_000] {
            let job = lease(&queue).await.expect("an attempt");
            let again = queue.fail(&job, "model crashed", true).await.expect("noted");
            assert_eq!(again, Failed::Again(UnixMs(test.clock.now().0 + wait)));
            pass(&test, wait - 1);
            assert_eq!(lease(&queue).await, None, "not yet");
            pass(&test, 1);
        }
        let last = lease(&queue).await.expect("the third attempt");
        assert_eq!(queue.fail(&last, "model crashed", true).await.expect("noted"), Failed::Dead);
        pass(&test, 1_000_000);
        assert_eq!(lease(&queue).await, None);
        let letters = queue.dead_letters().await.expect("a list");
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].attempts, letters[0].error.as_deref()), (3, Some("model crashed")));

        queue.revive(last.id).await.expect("revived");
        assert!(matches!(queue.revive(last.id).await, Err(JobError::NotDead(_))));
        assert_eq!(lease(&queue).await.map(|job| job.attempt), Some(1));
    }

    async fn a_job_that_kills_its_worker_every_time_ends_as_a_dead_letter_and_the_caller_is_called_back(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        let call = call(&queue).await;
        queue.enqueue(Kind::Draft, call).await.expect("added");
        for attempt in 1..=3 {
            assert_eq!(lease(&queue).await.map(|job| job.attempt), Some(attempt));
            pass(&test, 30_000);
        }
        assert_eq!(lease(&queue).await, None);
        assert_eq!(queue.dead_letters().await.expect("a list").len(), 1);
        let owed = test.store.callbacks(None, None, None, 10).await.expect("a list");
        assert_eq!((owed.len(), owed[0].reason.as_str(), owed[0].call_id), (1, "not_heard", Some(call)));
    }

    async fn what_cannot_succeed_is_not_tried_again(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let job = lease(&queue).await.expect("a job");
        assert_eq!(queue.fail(&job, "the file is no WAV", false).await.expect("noted"), Failed::Dead);
    }

    async fn a_job_given_back_at_a_stop_has_lost_no_attempt(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let job = lease(&queue).await.expect("a job");
        queue.release(&job).await.expect("given back");
        assert_eq!(lease(&queue).await.map(|job| job.attempt), Some(1));
    }

    async fn a_waiting_worker_wakes_up_when_a_job_is_committed(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        let stopping = CancellationToken::new();
        let (worker, stop) = (queue.clone(), stopping.clone());
        let waiting = tokio::spawn(async move { worker.next(Kind::Draft, "w", TTL, &stop).await });
        queue.enqueue(Kind::Draft, "a").await.expect("added");
        let job = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time").expect("no panic");
        assert_eq!(job.expect("a job").map(|job| job.key), Some("a".into()));
        stopping.cancel();
        assert_eq!(queue.next(Kind::Draft, "w", TTL, &stopping).await.expect("an answer"), None);
    }

    async fn a_call_that_ended_leaves_the_right_work_behind(test: TestStore) {
        let queue = Queue::new(test.store.clone());
        let recording = StoredRecording { key: "k".into(), sha256: "s".into(), samples: 1 };
        let (heard, cancelled, broken) = (call(&queue).await, call(&queue).await, call(&queue).await);
        let sealed = RecordingState::Sealed;
        let at = UnixMs(9);
        queue.call_ended(heard, at, EndReason::CallerHungUp, sealed, Some(&recording), None).await.expect("ended");
        queue.call_ended(cancelled, at, EndReason::Cancelled, RecordingState::None, None, None).await.expect("ended");
        queue.call_ended(broken, at, EndReason::Interrupted, sealed, Some(&recording), None).await.expect("ended");
        for (call, is_heard) in [(heard, true), (cancelled, false), (broken, true)] {
            let job = test.store.job("transcribe", &call.to_string()).await.expect("a look");
            assert_eq!(job.is_some(), is_heard);
        }
        let owed = test.store.callbacks(None, None, None, 10).await.expect("a list");
        let mut reasons: Vec<_> = owed.iter().map(|entry| entry.reason.as_str()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["cancelled", "interrupted"]);

        let job = queue.lease(Kind::Transcribe, "w", TTL).await.expect("an answer").expect("a job");
        queue.transcribed(&job, &Transcript::default()).await.expect("stored");
        assert!(test.store.job("draft", &job.key).await.expect("a look").is_some(), "the draft is asked for");
        assert!(test.store.transcript(job.call().expect("a call")).await.expect("a look").is_some());
    }
}

async fn lease(queue: &Queue) -> Option<Job> {
    queue.lease(Kind::Draft, "worker-1", TTL).await.expect("an answer")
}

async fn call(queue: &Queue) -> CallId {
    let store = queue.store();
    let id = CallId::new(store.clock().uuid());
    let caller = Some(Private("13800000000".into()));
    let mut tx = store.begin().await.expect("a writer");
    tx.add_call(&CallRow::begun(id, Direction::Inbound, caller, "12345".into(), UnixMs(1))).await.expect("added");
    tx.commit().await.expect("committed");
    id
}

fn pass(test: &TestStore, ms: i64) {
    test.clock.set(UnixMs(test.clock.now().0 + ms));
}
