#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/scope.h"
#include "net/sync.h"

namespace vitrail::control {

// How many calls run at the same time, whatever the number of shards.
inline constexpr size_t kFanOut = 64;

// Runs `one` for every item, at most kFanOut at a time, and returns the first error when all have ended.
template <typename Item>
net::Task<Status> for_all(std::vector<Item> items, std::function<net::Task<Status>(Item)> one) {
  std::vector<Status> outcomes(items.size());
  net::Semaphore turns(kFanOut);
  std::vector<net::Task<void>> tasks;
  auto run = [](net::Semaphore& semaphore, const std::function<net::Task<Status>(Item)>& work, Item item,
                Status& out) -> net::Task<void> {
    (void)co_await semaphore.acquire({});
    out = co_await work(std::move(item));
    semaphore.release();
  };
  for (size_t i = 0; i < items.size(); ++i) tasks.push_back(run(turns, one, std::move(items[i]), outcomes[i]));
  co_await net::when_all(std::move(tasks));
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) co_return std::move(outcome);
  }
  co_return Status{};
}

}  // namespace vitrail::control
