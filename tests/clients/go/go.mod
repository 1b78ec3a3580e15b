module smoke

go 1.21
