#include "control/workflow/engine/tenure.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <set>

#include "base/log.h"
#include "base/random.h"
#include "control/workflow/engine/runner.h"
#include "topo/paths.h"

namespace vitrail::control::engine {
namespace {

constexpr int kWriteAttempts = 5;

struct Active {
  std::mutex mutex;
  std::multiset<std::string> keys;
};
Active& active() {
  static Active one;
  return one;
}
std::string key_of(const std::string& owner_id, const std::string& path) { return owner_id + " " + path; }

Owner make_owner() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return {base::system_random().uuid(), fmt::format("process {} on {}", getpid(), host.data())};
}

void set_owner(Record& record, const Owner& owner) {
  record.set_epoch(record.epoch() + 1);
  record.mutable_open()->set_owner(owner.id);
  record.mutable_open()->set_owner_text(owner.text);
  record.mutable_open()->set_heartbeat(0);
}

// Of a serialized record: its first field is the id. Versions alone may be those of another incarnation (ZooKeeper's).
bool begins_with_id(const std::string& data, const std::string& id) {
  constexpr size_t kHead = 2;  // Tag and length.
  return !id.empty() && id.size() < 128 && data.size() >= kHead + id.size() && data[0] == '\x0a' &&
         static_cast<size_t>(static_cast<unsigned char>(data[1])) == id.size() &&
         data.compare(kHead, id.size(), id) == 0;
}

bool may_be_written(const Error& error) {
  return error.code() == Code::kAborted || error.code() == Code::kNotFound || error.effect() == Effect::kUnknown;
}

}  // namespace

const Owner& this_process() {
  static const Owner owner = make_owner();
  return owner;
}

bool Tenure::is_active(const std::string& owner_id, const std::string& path) {
  const std::lock_guard lock(active().mutex);
  return active().keys.contains(key_of(owner_id, path));
}

Tenure::Tenure(topo::Server& topology, StoredRecord stored, Owner owner)
    : topology_(topology),
      owner_(std::move(owner)),
      record_(std::move(stored.record)),
      version_(stored.version),
      path_(topo::movement_record_path(record_.target_keyspace(), record_.workflow())) {
  const std::lock_guard lock(active().mutex);
  active().keys.insert(key_of(owner_.id, path_));
}

Tenure::~Tenure() {
  const std::lock_guard lock(active().mutex);
  active().keys.extract(key_of(owner_.id, path_));
}

net::Task<Result<std::unique_ptr<Tenure>>> Tenure::create(topo::Server& topology, Record record, Owner owner) {
  set_owner(record, owner);
  std::unique_ptr<Tenure> tenure(new Tenure(topology, {record, {}}, std::move(owner)));
  auto created = co_await create_record(topology, record);
  if (!created.ok()) {
    // It may have been made by a call whose answer did not come.
    auto found = co_await load_record(topology, record.target_keyspace(), record.workflow());
    if (!found.ok() || serialize(found->record) != serialize(record)) co_return std::move(created).error();
    created = std::move(found);
  }
  tenure->version_ = created->version;
  tenure->scope_.spawn(tenure->renew());
  co_return std::move(tenure);
}

net::Task<Result<std::unique_ptr<Tenure>>> Tenure::begin(topo::Server& topology, StoredRecord stored,
                                                         ::workflowdata::Operation operation, Owner owner) {
  if (stored.record.has_open()) {
    co_return fail(Code::kAborted, name_of(stored.record) + ": " + describe_open(stored.record));
  }
  *stored.record.mutable_open() = std::move(operation);
  stored.record.mutable_open()->set_started_ms(to_ms(topology.clock().wall_now()));
  co_return co_await take_over(topology, std::move(stored), std::move(owner));
}

net::Task<Result<std::unique_ptr<Tenure>>> Tenure::take_over(topo::Server& topology, StoredRecord stored, Owner owner) {
  Record next = stored.record;
  set_owner(next, owner);
  stored.record = next;
  std::unique_ptr<Tenure> tenure(new Tenure(topology, std::move(stored), std::move(owner)));
  if (Status written = co_await tenure->write(next); !written.ok()) {
    if (!tenure->lost_) co_return std::move(written).error();
    co_return fail(Code::kAborted, "another command has begun on " + name_of(tenure->record_) + " at the same moment");
  }
  tenure->scope_.spawn(tenure->renew());
  co_return std::move(tenure);
}

bool Tenure::is_ours(const Record& record) const {
  return record.id() == record_.id() && record.epoch() == record_.epoch() && record.has_open() &&
         record.open().owner() == owner_.id;
}

Error Tenure::lost_error() const {
  return fail(Code::kFailedPrecondition,
              fmt::format("locks were lost: {} was taken over by another process, since this one was not heard of",
                          name_of(record_)));
}

// What is in memory stays as it is.
net::Task<Status> Tenure::write(const Record& next) {
  const std::string data = serialize(next);
  for (int attempt = 0; attempt < kWriteAttempts; ++attempt) {
    if (lost_) co_return lost_error();
    auto written = co_await topology_.global().update(path_, data, version_);
    if (written.ok()) {
      version_ = *written;
      co_return Status{};
    }
    if (!may_be_written(written.error())) co_return std::move(written).error();
    // A write of our own whose answer did not come, or somebody else.
    auto found = co_await topology_.global().get(path_);
    if (!found.ok() && found.error().code() != Code::kNotFound) co_return std::move(found).error();
    if (found.ok() && found->data == data) {
      version_ = found->version;
      co_return Status{};
    }
    Result<Record> other = found.ok() ? parse_record(found->data) : fail(Code::kNotFound, "");
    if (!other.ok() || !is_ours(*other)) {
      lost_ = true;
      co_return lost_error();
    }
    version_ = found->version;
  }
  co_return fail(Code::kAborted, "the record of " + name_of(record_) + " is changed by others all the time");
}

net::Task<Status> Tenure::change(std::function<void(Record&)> change) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await mutex_.lock({}));
  co_return co_await store(std::move(change));
}

net::Task<Status> Tenure::store(std::function<void(Record&)> change) {
  noted_ = false;
  Record next = record_;
  change(next);
  CO_RETURN_IF_ERROR(co_await write(next));
  // What was noted while the write was under way is not in what was written: that a step is done, say.
  if (noted_) {
    change(record_);
  } else {
    record_ = std::move(next);
  }
  co_return Status{};
}

net::Task<Status> Tenure::close(std::function<void(Record&)> change) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await mutex_.lock({}));
  Record next = record_;
  change(next);
  next.set_epoch(next.epoch() + 1);
  CO_RETURN_IF_ERROR(co_await write(next));
  record_ = std::move(next);
  closed_ = true;
  co_return Status{};
}

net::Task<Status> Tenure::remove() {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await mutex_.lock({}));
  if (lost_) co_return lost_error();
  Status removed = co_await topology_.global().remove(path_, version_);
  if (!removed.ok() && removed.error().code() == Code::kAborted) {
    CO_RETURN_IF_ERROR(co_await check());
    removed = co_await topology_.global().remove(path_, version_);
  }
  if (!removed.ok() && removed.error().code() != Code::kNotFound) co_return removed;
  closed_ = true;
  co_return Status{};
}

net::Task<Status> Tenure::check() {
  if (lost_) co_return lost_error();
  auto found = co_await topology_.global().get(path_);
  if (!found.ok() && found.error().code() != Code::kNotFound) co_return std::move(found).error();
  // As it was written here last: not worth parsing, which for thousands of shards takes milliseconds each time.
  if (found.ok() && found->version == version_ && begins_with_id(found->data, record_.id())) co_return Status{};
  Result<Record> record = found.ok() ? parse_record(found->data) : fail(Code::kNotFound, "");
  if (record.ok() && is_ours(*record)) co_return Status{};
  lost_ = true;
  co_return lost_error();
}

net::Task<Status> Tenure::check_before_write() {
  Status ours = co_await check();
  if (!ours.ok() || record_.open().steps().empty()) co_return ours;
  pass_test_point(record_.open().steps().rbegin()->name() + kGuarded);
  co_return ours;
}

net::Task<void> Tenure::renew() {
  while (!scope_.stopping()) {
    (void)co_await net::sleep_for(kHeartbeat, scope_.token());
    if (scope_.stopping() || lost_ || closed_) co_return;
    auto guard = co_await mutex_.lock(net::Wait::within(kSilence, scope_.token()));
    if (!guard.ok() || closed_) continue;
    const int64_t beat = record_.open().heartbeat() + 1;
    Status written = co_await store([beat](Record& record) { record.mutable_open()->set_heartbeat(beat); });
    if (!written.ok() && !lost_) {
      log_warning("{}: the record cannot be renewed: {}", name_of(record_), written.error().message());
    }
  }
}

::workflowdata::Fence Tenure::fence() const {
  ::workflowdata::Fence fence;
  fence.set_workflow_id(record_.id());
  fence.set_epoch(record_.epoch());
  return fence;
}

net::Task<void> Tenure::end() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::control::engine
