// What a statement waits for before it gets a connection to the server.
#include <fmt/core.h>

#include <algorithm>

#include "mysql/data_port.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

std::string QuerySession::user_of(std::span<const mysql::QueryAttribute> attributes) const {
  const auto told = std::ranges::find(attributes, mysql::kUserAttribute, &mysql::QueryAttribute::name);
  return told == attributes.end() ? client_.user : std::string(told->value.bytes);
}

// Before its transaction begins; what is in one already holds its connection, and may hold locks that others wait for.
net::Task<Status> QuerySession::pass_guards(const Request& request, std::unique_ptr<Waited>& waited, net::Wait wait) {
  if (in_transaction_ || keeps_connection()) co_return Status{};
  const auto admitted_in = shared_.state;
  if (shared_.hot_rows.enabled()) {
    auto key =
        hot_row_key(*request.info, request.text, request.execute == nullptr ? nullptr : &request.execute->parameters);
    if (key) {
      waited = std::make_unique<Waited>();
      CO_ASSIGN_OR_RETURN(waited->row,
                          co_await shared_.hot_rows.enter(std::move(*key), request.info->tables.front().name, wait));
    }
  }
  if (admitted_in != shared_.state || lost_ != Lost::kNothing) CO_RETURN_IF_ERROR(admit(*request.info, request.text));
  CO_RETURN_IF_ERROR(hold_back(request));
  if (shared_.limits.enabled() && (request.begins || request.info->kind == sql::StatementKind::kBegin)) {
    CO_ASSIGN_OR_RETURN(slot_, shared_.limits.enter(limited_user_));
  }
  co_return Status{};
}

// What has to be equal for two answers to be equal, byte for byte. Empty: it is not shared.
std::string QuerySession::shared_read_key(const Request& request) const {
  const StatementInfo& info = *request.info;
  const bool plain = info.shareable && request.text.size() <= QueryGuard::kNormalizedMax &&
                     request.execute == nullptr && request.prelude.empty() && !keeps_connection() && !lease_ &&
                     info.effects.leaves == sql::Left::kNothing;
  if (!plain || !shared_.shared_reads.wanted(shared_.state->target.tablet_type == "primary")) return {};
  return fmt::format("{} {} {} {} {}\n{}\n{}", shape_, client_.capabilities, static_cast<int>(client_.collation),
                     request.first_sequence, rename_.to, settings_, request.text);
}

net::Task<bool> QuerySession::answer_by_another(const Request& request, std::string key, Outcome& outcome,
                                                net::Wait wait) {
  const auto read = shared_.shared_reads.join(key);
  if (read == nullptr) co_return false;
  const auto admitted_in = shared_.state;
  const Status waited = co_await read->done.wait(wait);
  if (!waited.ok() || read->answer.empty() || interrupted_ || gone_.cancelled()) co_return false;
  if (admitted_in != shared_.state && !admit(*request.info, request.text).ok()) co_return false;
  shared_.shared_reads.note(request.info->normalized);
  warnings_.reset();
  statement_done();
  outcome = co_await send(read->answer);
  co_return true;
}

net::Task<Status> QuerySession::wait_to_send(Request& request, std::unique_ptr<Waited>& waited, bool& answered,
                                             Outcome& outcome, net::Wait wait) {
  if (std::string key = shared_read_key(request); !key.empty()) {
    answered = co_await answer_by_another(request, key, outcome, wait);
    if (answered) co_return Status{};
    if (waited == nullptr) waited = std::make_unique<Waited>();
    waited->held.max = shared_.shared_reads.settings().bytes_max;
    waited->lead.emplace(shared_.shared_reads.lead(std::move(key)));
  }
  co_return co_await prepare_to_send(request, wait);
}

net::Task<void> QuerySession::give_answer(SharedReads::Lead& lead, std::string answer,
                                          std::expected<net::RelayResult, net::RelayFailure>& result) {
  // Warnings and state are of one connection.
  const bool equal = !result->error && result->summary.warnings == 0 && !result->summary.session_state_changed;
  if (equal) lead.give(answer);
  Status passed = co_await stream_.write(answer, net::Wait::within(60s, gone_.token()));
  if (!passed.ok()) result = std::unexpected(net::RelayFailure{std::move(passed).error(), false, false});
}

}  // namespace vitrail::tablet
