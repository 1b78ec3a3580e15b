#include "movement/held_snapshots.h"

#include <fmt/core.h>

#include <algorithm>

#include "movement/table_schema.h"
#include "mysqld/rows.h"

namespace vitrail::movement {

struct HeldSnapshots::Set {
  explicit Set(std::string given) : name(std::move(given)) {}
  const std::string name;
  std::string position;
  std::vector<std::unique_ptr<ServerSession>> idle;
  size_t alive = 0;  // Idle and lent.
  bool open = true;
  net::Semaphore free{0};
};

HeldSnapshots::Hold::~Hold() {
  set_->open = false;
  set_->alive -= set_->idle.size();
  set_->idle.clear();
  owner_.sets_.erase(set_->name);
  set_->free.release();  // Whoever waits hears of the end, and tells the next one.
}
const std::string& HeldSnapshots::Hold::position() const { return set_->position; }
bool HeldSnapshots::Hold::lost() const { return set_->alive == 0; }

HeldSnapshots::Lease::Lease(std::shared_ptr<Set> set, std::unique_ptr<ServerSession> session)
    : set_(std::move(set)), session_(std::move(session)) {}

HeldSnapshots::Lease::~Lease() {
  if (session_ != nullptr && set_->open) {
    set_->idle.push_back(std::move(session_));
    set_->free.release();
    return;
  }
  --set_->alive;
  if (set_->alive == 0) set_->free.release();
}
const std::string& HeldSnapshots::Lease::position() const { return set_->position; }

net::Task<Result<std::unique_ptr<HeldSnapshots::Hold>>> HeldSnapshots::hold(std::string name, size_t sessions,
                                                                            ServerLogin login, std::string database,
                                                                            net::Wait wait) {
  if (sets_.contains(name)) co_return fail(Code::kAlreadyExists, fmt::format("there is a snapshot {}", name));
  if (sets_.size() >= kMax) {
    co_return fail(Code::kResourceExhausted, fmt::format("{} snapshots are held already, which is the most", kMax));
  }
  auto set = std::make_shared<Set>(name);
  sets_.emplace(std::move(name), set);
  auto held = std::make_unique<Hold>(*this, set);
  std::vector<std::string> tables;
  std::unique_ptr<ServerSession> lock;
  const size_t wanted = std::clamp<size_t>(sessions, 1, kSessionsMax);
  // Transactions that were opened between two changes have one position: on a busy server not every attempt hits it.
  for (size_t attempt = 0; attempt < 2 * wanted && set->idle.size() < wanted; ++attempt) {
    CO_ASSIGN_OR_RETURN(auto session, co_await ServerSession::open(login, mysqld::ConnectionPurpose::kCopy, wait));
    CO_RETURN_IF_ERROR(co_await session->run({"SET SESSION wait_timeout = 604800"}, wait));
    if (attempt == 0) {
      CO_ASSIGN_OR_RETURN(const TableMap all, co_await load_tables(*session, database, std::nullopt, wait));
      for (const auto& [table, schema] : all) {
        tables.push_back(fmt::format("{}.{}", mysqld::quote_identifier(database), mysqld::quote_identifier(table)));
      }
    }
    CO_ASSIGN_OR_RETURN(const mysql::Position position,
                        co_await movement::begin_snapshot(*session, lock, login, tables, wait));
    if (attempt == 0) set->position = position.prefixed_string();
    if (position.prefixed_string() != set->position) continue;
    set->idle.push_back(std::move(session));
    ++set->alive;
    set->free.release();
  }
  co_return std::move(held);
}

net::Task<Result<std::unique_ptr<HeldSnapshots::Lease>>> HeldSnapshots::borrow(std::string name, net::Wait wait) {
  const auto found = sets_.find(name);
  std::shared_ptr<Set> set = found == sets_.end() ? nullptr : found->second;
  if (set != nullptr) CO_RETURN_IF_ERROR(co_await set->free.acquire(wait));
  if (set == nullptr || !set->open || set->idle.empty()) {
    if (set != nullptr) set->free.release();
    co_return fail(Code::kNotFound,
                   fmt::format("the snapshot {} is not held (any more): it ended with the call that held it, or its "
                               "connections broke",
                               name));
  }
  auto session = std::move(set->idle.back());
  set->idle.pop_back();
  co_return std::make_unique<Lease>(std::move(set), std::move(session));
}

}  // namespace vitrail::movement
