#include "topo/zookeeper/tree.h"

#include "topo/paths.h"

namespace vitrail::topo::zookeeper {
namespace {

constexpr int kRacesMax = 100;  // Attempts, while others create and remove the same directories.

Error crowded(const std::string& path) {
  return fail(Code::kUnavailable, "others keep creating and removing the directories of " + path);
}

}  // namespace

std::string Tree::znode(std::string_view path) const {
  if (path.empty()) return root.empty() ? "/" : root;
  return root + "/" + std::string(path);
}

std::string Tree::relative(std::string_view znode) const { return std::string(znode.substr(root.size() + 1)); }

bool is_lock_dir(const Tree& tree, std::string_view znode) {
  return znode.ends_with("/locks") || znode == tree.root + "/" + std::string(kElectionsDir);
}

std::vector<std::string> parents_of(const Tree& tree, std::string_view znode) {
  std::vector<std::string> parents;
  for (size_t end = znode.rfind('/'); end != std::string_view::npos && end > tree.root.size(); end = znode.rfind('/')) {
    znode = znode.substr(0, end);
    parents.emplace_back(znode);
  }
  return parents;
}

net::Task<Result<Written>> create_with_parents(Tree tree, std::vector<Op> ops, net::Wait wait,
                                               std::optional<int64_t> session) {
  const std::string path = ops.back().path;
  for (int attempt = 0; attempt < kRacesMax; ++attempt) {
    CO_ASSIGN_OR_RETURN(Written written, co_await tree.client->write(ops, wait, session));
    if (written.answer != Answer::kNoNode || written.refused + 1 != ops.size()) co_return written;
    // Those of the root too: it need not exist.
    std::vector<Op> parents;
    for (size_t end = path.rfind('/'); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
      const std::string parent = path.substr(0, end);
      // Behind a write of this session: as new as that.
      CO_ASSIGN_OR_RETURN(const Reply found, co_await tree.exists(parent, false, wait));
      if (found.answer == Answer::kOk) break;
      parents.insert(parents.begin(), Op{Op::Kind::kCreate, parent});
    }
    std::vector<Op> all(ops.begin(), ops.end() - 1);  // Conditions come first.
    const size_t before = all.size();
    all.insert(all.end(), parents.begin(), parents.end());
    all.push_back(ops.back());
    const size_t count = all.size();
    CO_ASSIGN_OR_RETURN(written, co_await tree.client->write(std::move(all), wait, session));
    if (written.answer == Answer::kOk) co_return written;
    if (written.refused < before) co_return written;
    if (written.refused + 1 == count && written.answer == Answer::kNodeExists) {
      written.refused = ops.size() - 1;
      co_return written;
    }
  }
  co_return crowded(path);
}

net::Task<Result<Written>> remove_with_parents(Tree tree, std::vector<Op> ops, net::Wait wait,
                                               std::optional<int64_t> session) {
  const size_t own = ops.size();
  std::vector<std::string> parents = parents_of(tree, ops.back().path);
  for (int attempt = 0; attempt < kRacesMax; ++attempt) {
    std::vector<Op> all = ops;
    for (const std::string& parent : parents) all.push_back(Op{Op::Kind::kRemove, parent});
    CO_ASSIGN_OR_RETURN(const Written written, co_await tree.client->write(std::move(all), wait, session));
    if (written.answer == Answer::kOk || written.refused < own) co_return written;
    parents.resize(written.refused - own);  // It has other children.
  }
  co_return crowded(ops.back().path);
}

}  // namespace vitrail::topo::zookeeper
