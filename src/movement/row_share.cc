#include "movement/row_share.h"

#include <algorithm>

namespace vitrail::movement {
namespace {

constexpr auto kSlow = std::chrono::seconds(5);

}  // namespace

struct SharedRowStream::Group {
  std::vector<SharedRowStream*> members;
  bool begun = false;    // Nobody may join any more.
  bool reading = false;  // One of the members is.
  base::TimePoint begin_at;
  net::Signal changed;

  bool complete() const {
    std::vector<shard::KeyRange> ranges;
    for (const SharedRowStream* member : members) {
      auto range = member->stream_->key_range();
      if (range) ranges.push_back(std::move(*range));
    }
    return cover_all_keys(std::move(ranges));
  }
};

bool cover_all_keys(std::vector<shard::KeyRange> ranges) {
  std::ranges::sort(ranges, {}, [](const shard::KeyRange& range) { return range.start(); });
  std::string reached;  // Keys below it are covered; an empty end is the end of all.
  for (const shard::KeyRange& range : ranges) {
    if (range.start() > reached) return false;
    if (range.end().empty()) return true;
    reached = std::max(reached, range.end());
  }
  return false;
}

std::unique_ptr<SharedRowStream> RowShares::join(std::unique_ptr<RowStream> stream) {
  std::erase_if(open_, [](const auto& entry) {
    const auto group = entry.second.lock();
    return group == nullptr || group->begun;
  });
  std::unique_ptr<SharedRowStream> member(new SharedRowStream(std::move(stream)));
  RowStream& rows = *member->stream_;
  const auto range = rows.key_range();
  // Who takes all rows has no others, and a comparison bounds its chunks itself.
  if (!range || range->is_complete() || rows.chunks_wanted() != 0) return member;
  auto& entry = open_[rows.share_key()];
  auto group = entry.lock();
  if (group == nullptr) {
    group = std::make_shared<SharedRowStream::Group>();
    group->begin_at = base::system_clock().now() + (rows.table_bytes() >= wait_from_bytes_ ? wait_ : base::Duration(0));
    entry = group;
  }
  group->members.push_back(member.get());
  member->group_ = group;
  group->changed.notify_all();
  return member;
}

SharedRowStream::~SharedRowStream() { leave(); }

void SharedRowStream::leave() {
  if (group_ == nullptr) return;
  std::erase(group_->members, this);
  group_->changed.notify_all();
  group_.reset();
}

net::Task<Status> SharedRowStream::gather(net::Wait wait) {
  const std::shared_ptr<Group> group = group_;
  while (!group->begun && !group->complete() && base::system_clock().now() < group->begin_at) {
    const net::Wait until{std::min(wait.deadline, group->begin_at), wait.cancel};
    Status woken = co_await group->changed.wait(until);
    if (!woken.has_value() && woken.error().code() != Code::kDeadlineExceeded) co_return woken;
  }
  group->begun = true;
  group->changed.notify_all();
  co_return Status{};
}

net::Task<Result<bool>> SharedRowStream::await_others(net::Wait wait) {
  const std::shared_ptr<Group> group = group_;
  const auto behind = [this](const SharedRowStream* member) { return member != this && !member->ready_.empty(); };
  const base::TimePoint patience = base::system_clock().now() + kSlow;
  bool waited = false;
  while (!group->reading && ready_.empty() && group_ == group && std::ranges::any_of(group->members, behind)) {
    waited = true;
    if (base::system_clock().now() >= patience) {
      for (SharedRowStream* member : std::vector(group->members)) {
        if (behind(member)) member->leave();
      }
      break;
    }
    Status woken = co_await group->changed.wait({std::min(wait.deadline, patience), wait.cancel});
    if (!woken.has_value() && woken.error().code() != Code::kDeadlineExceeded) co_return std::move(woken).error();
    if (base::system_clock().now() >= wait.deadline) co_return fail(Code::kDeadlineExceeded, "the other copies wait");
  }
  co_return waited;
}

net::Task<Status> SharedRowStream::read_for_all(net::Wait wait) {
  const std::shared_ptr<Group> group = group_;
  // Each stream lives as long as it is read for, whoever leaves.
  std::vector<SharedRowStream*> who = {this};
  for (SharedRowStream* member : group->members) {
    if (member != this) who.push_back(member);
  }
  std::vector<std::shared_ptr<RowStream>> streams;
  for (const SharedRowStream* member : who) streams.push_back(member->stream_);
  group->reading = true;
  auto chunks = co_await RowStream::read_chunks(std::move(streams), wait);
  group->reading = false;
  group->changed.notify_all();
  CO_RETURN_IF_ERROR(chunks.ok() ? Status{} : Status(std::move(chunks).error()));
  for (size_t i = 0; i < who.size(); ++i) {
    if (std::ranges::find(group->members, who[i]) == group->members.end()) continue;
    if ((*chunks)[i].ok()) {
      who[i]->ready_.push_back(std::move(*(*chunks)[i]));
    } else {
      who[i]->error_ = std::move((*chunks)[i]).error();
    }
  }
  co_return Status{};
}

net::Task<Result<RowChunk>> SharedRowStream::read_chunk(net::Wait wait) {
  if (group_ != nullptr && !group_->begun) CO_RETURN_IF_ERROR(co_await gather(wait));
  for (;;) {
    if (!ready_.empty()) {
      RowChunk chunk = std::move(ready_.front());
      ready_.pop_front();
      if (group_ != nullptr) group_->changed.notify_all();
      co_return std::move(chunk);
    }
    if (error_) co_return *error_;
    if (group_ == nullptr) co_return co_await stream_->read_chunk(wait);
    if (group_->reading) {
      const std::shared_ptr<Group> group = group_;
      CO_RETURN_IF_ERROR(co_await group->changed.wait(wait));
      continue;
    }
    CO_ASSIGN_OR_RETURN(const bool waited, co_await await_others(wait));
    if (waited) continue;
    CO_RETURN_IF_ERROR(co_await read_for_all(wait));
  }
}

}  // namespace vitrail::movement
