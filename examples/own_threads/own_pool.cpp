// SPDX-License-Identifier: BSL-1.0
// Attention on the threads that an engine already has. Prints:
//   queries    0..99 on keys    0..99
//   queries 6000..6011 on keys 1904..6011
//   queries 5000..5000 on keys  904..5000
//   queries   90..90 on keys    0..90
//   3 threads of the engine: the bits of the serial answer
//   sequence 1 without its window: evicted
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <latch>
#include <mutex>
#include <stop_token>
#include <thread>

#include "ragged_step.hpp"

namespace engine {
namespace {

/// What the engine has: threads that take jobs from a queue.
class job_queue {
 public:
  explicit job_queue(int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this](std::stop_token const& stop) { serve(stop); });
    }
  }
  index threads() const noexcept { return std::ssize(threads_); }
  void post(std::function<void()> job) {
    {
      std::lock_guard const lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    ready_.notify_one();
  }

 private:
  void serve(std::stop_token const& stop) {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (!ready_.wait(lock, stop, [this] { return !jobs_.empty(); })) return;
      std::function<void()> const job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::jthread> threads_;  // last, so that they end first
};

/// The executor: one job per worker, each takes tasks until there are none. The calling thread only
/// waits, so it must not be one of the queue's own. `attend` is noexcept: a post that throws for
/// want of memory ends the program.
struct on_queue {
  job_queue& queue;

  index workers() const noexcept { return queue.threads(); }
  void run(index tasks, auto&& task) const {
    std::atomic<index> next = 0;
    std::latch done(workers());
    for (index worker = 0; worker < workers(); ++worker) {
      queue.post([&, worker] {
        for (index i = next++; i < tasks; i = next++) task(i, worker);
        done.count_down();
      });
    }
    done.wait();
  }
};
static_assert(oriel::executor<on_queue>);

int run() {
  job_queue queue(3);
  ragged_step const step;
  std::vector<float> out = step.answer();
  std::vector<oriel::attention> batch = step.batch(out);
  print(batch);

  // Made once, for the largest step that the engine will take.
  oriel::attend_plan const plan = oriel::plan_attend({.sequences = 16,
                                                      .q_len = 512,
                                                      .kv_len = ragged_step::window + 512,
                                                      .q_heads = ragged_step::q_heads,
                                                      .kv_heads = ragged_step::kv_heads,
                                                      .head_dim = ragged_step::dim},
                                                     queue.threads());
  oriel::aligned_bytes const memory(plan.workspace_bytes());

  if (oriel::status s = oriel::attend(plan, batch, {memory}, on_queue{queue}); !s.ok()) {
    std::printf("sequence %d: %s\n", static_cast<int>(s.where), s.what);
    return 1;
  }
  bool const same = same_bits(out, serial_answer(step));
  std::printf("%d threads of the engine: %s\n", static_cast<int>(queue.threads()),
              same ? "the bits of the serial answer" : "NOT the serial answer");

  // An error says which sequence it is about, and nothing of the batch has been computed.
  batch[1].mask = oriel::causal{};
  oriel::status const bad = oriel::attend(plan, batch, {memory}, on_queue{queue});
  std::printf("sequence %d without its window: %s\n", static_cast<int>(bad.where),
              bad.code == oriel::errc::evicted ? "evicted" : bad.what);
  return same && !bad.ok() ? 0 : 1;
}

}  // namespace
}  // namespace engine

int main() { return engine::run(); }
