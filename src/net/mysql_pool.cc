#include "net/mysql_pool.h"

#include <fmt/core.h>

#include "mysql/errors.h"

namespace vitrail::net {

using mysql::Command;

namespace {

constexpr auto kRest = std::chrono::seconds(1);

// Counts while it lives.
class Counted {
 public:
  explicit Counted(size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;

 private:
  size_t& count_;
};

}  // namespace

PooledConnection::Prepared* PooledConnection::find_prepared(std::string_view text) {
  const auto found = prepared.find(text);
  if (found == prepared.end()) return nullptr;
  prepared_order.splice(prepared_order.end(), prepared_order, found->second.order);
  return &found->second;
}

Task<Result<PooledConnection::Prepared*>> PooledConnection::prepare(const std::string& text, size_t max_prepared,
                                                                    Wait wait, Known known) {
  std::string payload;
  if (auto found = prepared.find(text); found != prepared.end()) {
    if (known == Known::kUse) {
      prepared_order.splice(prepared_order.end(), prepared_order, found->second.order);
      co_return &found->second;
    }
    mysql::encode_stmt_command(payload, Command::kStmtClose, found->second.ok.statement_id);
    prepared_order.erase(found->second.order);
    prepared.erase(found);
    CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
    payload.clear();
  }
  mysql::encode_stmt_prepare(payload, text);
  CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  auto answer = co_await client.receive(wait);
  if (!answer.ok()) co_return std::move(answer).error();
  if (mysql::is_err(answer->payload)) {
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer->payload));
    if (auto tablet = mysql::decode_tablet_error(err)) co_return std::move(*tablet);
    co_return mysql::from_err_packet(err);
  }
  Prepared entry;
  auto ok = mysql::decode_prepare_ok(answer->payload);
  if (!ok.ok()) {
    client.set_broken();
    co_return std::move(ok).error();
  }
  entry.ok = *ok;
  mysql::PacketWriter writer(entry.definitions, 2);
  const bool with_eof = (client.capabilities() & mysql::kClientDeprecateEof) == 0;
  for (const uint32_t block : {uint32_t{ok->parameters}, uint32_t{ok->columns}}) {
    const uint32_t messages = block == 0 ? 0 : block + (with_eof ? 1 : 0);
    for (uint32_t i = 0; i < messages; ++i) {
      CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(wait));
      writer.message(message.payload);
    }
  }
  if (prepared.size() >= max_prepared) {
    auto oldest = prepared.find(prepared_order.front());
    payload.clear();
    mysql::encode_stmt_command(payload, Command::kStmtClose, oldest->second.ok.statement_id);
    prepared_order.pop_front();
    prepared.erase(oldest);
    CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  }
  entry.order = prepared_order.insert(prepared_order.end(), text);
  co_return &prepared.emplace(text, std::move(entry)).first->second;
}

MysqlPool::Lease::Lease(MysqlPool* pool, std::unique_ptr<PooledConnection> connection)
    : pool_(pool), connection_(std::move(connection)) {}

MysqlPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}

MysqlPool::Lease& MysqlPool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = std::exchange(other.pool_, nullptr);
    connection_ = std::move(other.connection_);
  }
  return *this;
}

void MysqlPool::Lease::release() {
  if (connection_ != nullptr) pool_->give_back(std::move(connection_));
}

void MysqlPool::Lease::discard() {
  if (connection_ == nullptr) return;
  connection_->client.set_broken();
  release();
}

bool PoolGroup::evict_idle() {
  MysqlPool* oldest = nullptr;
  for (MysqlPool* pool : pools_) {
    if (pool->idle_.empty()) continue;
    if (oldest == nullptr || pool->idle_.front()->used < oldest->idle_.front()->used) oldest = pool;
  }
  if (oldest == nullptr) return false;
  oldest->drop_idle(0);
  return true;
}

MysqlPool::MysqlPool(MysqlClientSettings settings, Options options)
    : settings_(std::move(settings)), options_(std::move(options)), group_(options_.group) {
  if (group_ == nullptr)
    group_ = std::make_shared<PoolGroup>(PoolGroup::Options{options_.max_connections, 5000, {}, {}});
  group_->pools_.push_back(this);
}

MysqlPool::~MysqlPool() {
  close();
  std::erase(group_->pools_, this);
}

void MysqlPool::keep_track(PooledConnection& connection) {
  connection.place = all_.size();
  all_.push_back(&connection);
}

void MysqlPool::lose_track(PooledConnection& connection) {
  all_.back()->place = connection.place;
  all_[connection.place] = all_.back();
  all_.pop_back();
}

void MysqlPool::drop_idle(size_t index) {
  const auto gone = std::move(idle_[index]);
  idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(index));
  lose_track(*gone);
  forget();
}

MysqlPool::Lease MysqlPool::lend(std::unique_ptr<PooledConnection> connection) {
  connection->on_loan = true;
  return {this, std::move(connection)};
}

void MysqlPool::abort_loans() {
  for (size_t i = all_.size(); i-- > 0;) {
    if (i >= all_.size() || !all_[i]->on_loan || all_[i]->kept)
      continue;  // The one before may have taken others with it.
    all_[i]->client.set_broken();
    all_[i]->client.stream().socket().abort();
  }
}

// The newest idle one with these settings; else, where there is no room for another, the newest of all.
// `any`: else none.
std::unique_ptr<PooledConnection> MysqlPool::take_idle(std::string_view settings, bool any) {
  std::unique_ptr<PooledConnection> found;
  for (size_t i = idle_.size(); i-- > 0 && found == nullptr;) {
    if (idle_[i]->settings != settings) continue;
    found = std::move(idle_[i]);
    idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i));
  }
  if (found == nullptr && any && !idle_.empty() && group_->used_ >= group_->options_.max_connections) {
    found = std::move(idle_.back());
    idle_.pop_back();
  }
  return found;
}

// Not closed by the server meanwhile. The loop knows of that since it looked at the descriptors last, in this turn; who
// has rested is asked about all the same, for a system call.
bool MysqlPool::still_good(PooledConnection& connection) {
  return connection.client.idle_ok(base::system_clock().now() - connection.used > kRest);
}

MysqlPool::Lease MysqlPool::try_acquire(std::string_view settings) {
  while (!closed_) {
    auto found = take_idle(settings, false);
    if (found == nullptr) break;
    if (still_good(*found)) {
      group_->begin_use();
      return lend(std::move(found));
    }
    lose_track(*found);
    forget();
  }
  return {};
}

Task<Status> MysqlPool::wait_for_room(const Wait& wait) {
  PoolGroup& group = *group_;
  const auto refuse = [&](const char* why, const std::string& flag) -> Status {
    return fail(Code::kResourceExhausted, fmt::format("all {} {} are in use, and {}{}", group.options_.max_connections,
                                                      options_.name, why, flag.empty() ? "" : " (" + flag + ")"))
        .with_retry(Retry::kSameTarget);
  };
  if (group.waiting_count_ >= group.options_.max_waiting) {
    co_return refuse("as many wait for one as may", group.options_.waiting_flag);
  }
  ++group.waiting_count_;
  Status turn = co_await group.waiting_.wait(wait, "wait for a connection");
  --group.waiting_count_;
  if (turn.ok() || turn.error().code() == Code::kCanceled) co_return turn;
  co_return refuse("none came free in time", group.options_.connections_flag);
}

Task<Result<MysqlPool::Lease>> MysqlPool::acquire(std::string settings, Wait wait) {
  const Counted acquiring(acquiring_);
  Wait patience = wait;
  if (options_.acquire_timeout > base::Duration::zero()) {
    patience.deadline = std::min(patience.deadline, base::system_clock().now() + options_.acquire_timeout);
  }
  for (;;) {
    if (closed_) co_return fail(Code::kUnavailable, options_.name + ": the pool is closed");
    if (auto found = take_idle(settings, true); found != nullptr) {
      if (!still_good(*found)) {
        lose_track(*found);
        forget();
        continue;
      }
      group_->begin_use();
      Lease lease = lend(std::move(found));
      if (lease->settings != settings) {
        Status adapted = co_await adapt(*lease, std::move(settings), false, wait);
        if (!adapted.ok()) {
          lease.discard();
          co_return std::move(adapted).error();
        }
      }
      co_return std::move(lease);
    }
    if (group_->used_ < group_->options_.max_connections || group_->evict_idle()) {
      co_return co_await fresh(std::move(settings), wait);
    }
    CO_RETURN_IF_ERROR(co_await wait_for_room(patience));
  }
}

Task<Result<MysqlPool::Lease>> MysqlPool::fresh(std::string settings, Wait wait) {
  ++size_;
  ++group_->used_;
  group_->begin_use();
  Wait limited = wait;
  limited.deadline = std::min(wait.deadline, base::system_clock().now() + options_.connect_timeout);
  auto client = co_await MysqlClient::connect(settings_, limited);
  if (!client.ok()) {
    group_->end_use();
    forget();
    co_return std::move(client).error();
  }
  auto made = std::make_unique<PooledConnection>(PooledConnection{.client = std::move(*client)});
  keep_track(*made);
  Lease lease = lend(std::move(made));
  if (!settings.empty() || !options_.setup.empty()) {
    Status adapted = co_await adapt(*lease, std::move(settings), true, wait);
    if (!adapted.ok()) {
      lease.discard();
      co_return std::move(adapted).error();
    }
  }
  co_return std::move(lease);
}

Task<Status> MysqlPool::adapt(PooledConnection& connection, std::string settings, bool fresh, Wait wait) {
  std::string framed;
  size_t answers = 0;
  const bool reset = !connection.settings.empty();
  const auto add_query = [&](const std::string& text) {
    std::string payload;
    mysql::encode_query(payload, text, {}, connection.client.capabilities());
    mysql::PacketWriter(framed).message(payload);
    ++answers;
  };
  if (reset) {
    const char command = static_cast<char>(Command::kResetConnection);
    mysql::PacketWriter(framed).message({&command, 1});
    ++answers;
    connection.prepared.clear();
    connection.prepared_order.clear();
  }
  if ((reset || fresh) && !options_.setup.empty()) add_query(options_.setup);
  if (!settings.empty()) add_query(settings);
  CO_RETURN_IF_ERROR(co_await connection.client.stream().write(framed, wait));
  for (size_t i = 0; i < answers; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await connection.client.receive(wait));
    if (!mysql::is_err(message.payload)) continue;
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(message.payload));
    if (auto tablet = mysql::decode_tablet_error(err)) co_return std::move(*tablet);
    co_return mysql::from_err_packet(err);
  }
  connection.settings = std::move(settings);
  co_return Status{};
}

void MysqlPool::give_back(std::unique_ptr<PooledConnection> connection) {
  group_->end_use();
  connection->on_loan = false;
  if (closed_ || connection->client.broken()) {
    lose_track(*connection);
    connection.reset();
    forget();
    return;
  }
  connection->used = group_->returned_;
  idle_.push_back(std::move(connection));
  group_->waiting_.wake_one();
}

void MysqlPool::forget() {
  --size_;
  --group_->used_;
  group_->waiting_.wake_one();
}

void MysqlPool::close() {
  closed_ = true;
  while (!idle_.empty()) drop_idle(idle_.size() - 1);
  group_->waiting_.wake_all();
}

void MysqlPool::trim() {
  const auto oldest = base::system_clock().now() - options_.idle_timeout;
  while (!idle_.empty() && idle_.front()->used < oldest) drop_idle(0);
}

}  // namespace vitrail::net
