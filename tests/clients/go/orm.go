package main

import (
	"errors"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type Author struct {
	ID    uint64 `gorm:"primaryKey"`
	Name  string `gorm:"size:60;index"`
	Born  *time.Time
	Books []Book `gorm:"constraint:-"`
}

type Tag struct {
	ID   uint64
	Name string `gorm:"size:30"`
}

type Book struct {
	ID       uint64
	AuthorID uint64 `gorm:"index"`
	Author   *Author
	Title    string  `gorm:"size:100"`
	Price    *string `gorm:"type:decimal(10,2)"`
	Sold     bool
}

func (Author) TableName() string { return "author" }
func (Book) TableName() string   { return "book" }
func (Tag) TableName() string    { return "tag" }

func orm(address string) {
	db, err := gorm.Open(mysql.Open(address), &gorm.Config{Logger: logger.Default.LogMode(logger.Silent), TranslateError: true,
		DisableForeignKeyConstraintWhenMigrating: true})
	check(err)
	done := func(tx *gorm.DB) int64 { check(tx.Error); return tx.RowsAffected }
	check(db.AutoMigrate(&Author{}, &Book{}, &Tag{}))
	check(db.AutoMigrate(&Author{}, &Book{}, &Tag{}))
	say("migrated", []any{db.Migrator().HasTable(&Book{}), db.Migrator().HasColumn(&Book{}, "title"), db.Migrator().HasIndex(&Author{}, "Name"), db.Migrator().HasTable("nowhere"),
		db.Migrator().CurrentDatabase()})
	check(db.Migrator().AlterColumn(&Author{}, "Name"))
	price, cheap := "9.99", "1.01"
	ann := Author{Name: "Ann", Books: []Book{{Title: "One", Price: &price}, {Title: "Two"}}}
	done(db.Create(&ann))
	bob := Author{Name: "B\u00f6b", Books: []Book{{Title: "Three", Price: &cheap, Sold: true}}}
	done(db.Create(&bob))
	tags := []Tag{{Name: "t1"}, {Name: "t2"}, {Name: "t3"}}
	say("batch", done(db.CreateInBatches(&tags, 2)))
	say("ids", []any{ann.ID > 0, ann.Books[0].ID < ann.Books[1].ID, tags[0].ID < tags[1].ID})
	var books []Book
	done(db.Preload("Author").Order("title").Find(&books))
	for _, book := range books {
		say("book "+book.Title, []any{book.Author.Name, book.Price, book.Sold})
	}
	var authors []Author
	done(db.Preload("Books", func(tx *gorm.DB) *gorm.DB { return tx.Order("title desc") }).Order("name").Find(&authors))
	say("preloaded", []any{authors[0].Books[0].Title, len(authors[1].Books)})
	var joined []Book
	done(db.Joins("Author").Where("Author.name = ?", "Ann").Order("title").Find(&joined))
	say("joined", []any{len(joined), joined[0].Author.Name})
	var grouped []struct {
		Name string
		N    int
	}
	done(db.Model(&Author{}).Select("author.name, count(book.id) n").Joins("left join book on book.author_id = author.id").Group("author.name").Order("author.name").Scan(&grouped))
	say("grouped", grouped)
	var names []string
	done(db.Model(&Author{}).Where("id in (?)", db.Model(&Book{}).Select("author_id").Where("sold")).Pluck("name", &names))
	say("subquery", names)
	var count int64
	done(db.Model(&Book{}).Distinct("author_id").Count(&count))
	say("distinct", count)
	say("changed", done(db.Model(&Book{}).Where("price < ?", 5).Update("price", gorm.Expr("price + 1"))))
	done(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Author{ID: ann.ID, Name: "Ann B."}))
	done(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Author{ID: ann.ID, Name: "again"}))
	say("merged", db.First(&Author{}, ann.ID).Error)
	say("duplicate", errors.Is(db.Create(&Author{ID: ann.ID, Name: "again"}).Error, gorm.ErrDuplicatedKey))
	var made Tag
	say("first or create", []any{done(db.FirstOrCreate(&made, Tag{Name: "new"})), done(db.FirstOrCreate(&made, Tag{Name: "new"}))})
	check(db.Transaction(func(tx *gorm.DB) error {
		done(tx.Create(&Tag{Name: "outer"}))
		check(tx.Transaction(func(inner *gorm.DB) error { return inner.Create(&Tag{Name: "inner"}).Error }))
		say("undone", tx.Transaction(func(inner *gorm.DB) error { done(inner.Create(&Tag{Name: "undone"})); return errors.New("no") }).Error())
		return tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&Author{}, ann.ID).Error
	}))
	names = nil
	done(db.Model(&Tag{}).Order("name").Pluck("name", &names))
	say("names", names)
	var found []Tag
	done(db.Model(&Tag{}).FindInBatches(&found, 2, func(tx *gorm.DB, batch int) error { return nil }))
	say("deleted", done(db.Where("author_id = ?", ann.ID).Delete(&Book{})))
	say("not found", errors.Is(db.First(&Author{}, "name = ?", "nobody").Error, gorm.ErrRecordNotFound))
	types, err := db.Migrator().ColumnTypes(&Author{})
	check(err)
	for _, column := range types {
		kind, _ := column.ColumnType()
		key, _ := column.PrimaryKey()
		say("column "+column.Name(), []any{kind, key})
	}
	tables, err := db.Migrator().GetTables()
	check(err)
	say("tables", len(tables))
	check(db.Migrator().DropTable(&Author{}, &Book{}, &Tag{}))
}
