module clients

go 1.21

require (
	github.com/go-sql-driver/mysql v1.9.3
	gorm.io/driver/mysql v1.6.0
	gorm.io/gorm v1.31.2
)
