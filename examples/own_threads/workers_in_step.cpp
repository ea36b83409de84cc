// SPDX-License-Identifier: BSL-1.0
// Attention in a graph that all workers walk together, as worker ith of nth, with a barrier after
// every operation. Prints:
//   queries    0..99 on keys    0..99
//   queries 6000..6011 on keys 1904..6011
//   queries 5000..5000 on keys  904..5000
//   queries   90..90 on keys    0..90
//   3 workers in step: the bits of the serial answer
//   sequence 1 without its window: evicted
#include <barrier>
#include <thread>

#include "ragged_step.hpp"

namespace engine {
namespace {

/// What every worker calls, each with its own number.
void attend_in_step(oriel::attend_plan const& plan, oriel::attention_batch const& batch,
                    oriel::workspace memory, index ith, index nth, std::barrier<>& all_here) {
  for (oriel::phase const part : oriel::phases) {
    index const tasks = oriel::tasks(plan, batch, part);
    for (index task = ith; task < tasks; task += nth) {
      oriel::run_task(plan, batch, part, task, ith, memory);
    }
    all_here.arrive_and_wait();
  }
}

int run() {
  constexpr index nth = 3;
  ragged_step const step;
  std::vector<float> out = step.answer();
  std::vector<oriel::attention> batch = step.batch(out);
  print(batch);

  oriel::attend_plan const plan = oriel::plan_attend(oriel::bounds_of(batch), nth);
  oriel::aligned_bytes const memory(plan.workspace_bytes());

  // Once per call, by one thread: tasks ask nothing again.
  if (oriel::status s = oriel::check(plan, batch, {memory}); !s.ok()) {
    std::printf("sequence %d: %s\n", static_cast<int>(s.where), s.what);
    return 1;
  }
  {
    std::barrier all_here(nth);
    std::vector<std::jthread> workers;
    for (index ith = 0; ith < nth; ++ith) {
      workers.emplace_back([&, ith] { attend_in_step(plan, batch, {memory}, ith, nth, all_here); });
    }
  }
  bool const same = same_bits(out, serial_answer(step));
  std::printf("%d workers in step: %s\n", static_cast<int>(nth),
              same ? "the bits of the serial answer" : "NOT the serial answer");

  // An error says which sequence it is about.
  batch[1].mask = oriel::causal{};
  oriel::status const bad = oriel::check(plan, batch, {memory});
  std::printf("sequence %d without its window: %s\n", static_cast<int>(bad.where),
              bad.code == oriel::errc::evicted ? "evicted" : bad.what);
  return same && !bad.ok() ? 0 : 1;
}

}  // namespace
}  // namespace engine

int main() { return engine::run(); }
