#include "mysql/data_port.h"

#include <gtest/gtest.h>

namespace vitrail::mysql {
namespace {

using Isolation = TransactionOptions::Isolation;
using Access = TransactionOptions::Access;

TEST(TransactionOptions, GoThroughTheirText) {
  for (int isolation = 0; isolation < 5; ++isolation) {
    for (int access = 0; access < 3; ++access) {
      for (const bool snapshot : {false, true}) {
        const TransactionOptions options{static_cast<Isolation>(isolation), static_cast<Access>(access), snapshot};
        const auto again = TransactionOptions::parse(options.to_text());
        ASSERT_TRUE(again.ok()) << options.to_text();
        EXPECT_EQ(*again, options) << options.to_text();
      }
    }
  }
  EXPECT_EQ(*TransactionOptions::parse("1"), TransactionOptions());
  EXPECT_FALSE(TransactionOptions::parse("serializable; drop table t").ok());
}

TEST(TransactionOptions, BecomeStatements) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(TransactionOptions().statements(), Texts{"start transaction"});
  EXPECT_EQ((TransactionOptions{.access = Access::kReadOnly}.statements()), Texts{"start transaction read only"});
  EXPECT_EQ(
      (TransactionOptions{Isolation::kSerializable, Access::kReadOnly, true}.statements()),
      (Texts{"set transaction isolation level serializable", "start transaction with consistent snapshot, read only"}));
}

TEST(TransactionOptions, HoldForOneStatement) {
  EXPECT_EQ((TransactionOptions{Isolation::kReadCommitted, Access::kReadOnly, false}.set_statement()),
            "set transaction isolation level read committed, read only");
  EXPECT_EQ((TransactionOptions{.access = Access::kReadWrite}.set_statement()), "set transaction read write");
}

TEST(SavepointAttribute, QuotesNames) { EXPECT_EQ(savepoint_statement("a,b`c"), "savepoint `a,b``c`"); }

}  // namespace
}  // namespace vitrail::mysql
