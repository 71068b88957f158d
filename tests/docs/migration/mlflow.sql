CREATE TABLE IF NOT EXISTS "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO experiments VALUES(0,'Default','@FOLDER@/mlruns/0','active',1795970075663,1795970075663,'default');
INSERT INTO experiments VALUES(1,'delay','@FOLDER@/mlruns/1','active',1795970075680,1795970075680,'default');
CREATE TABLE IF NOT EXISTS "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO runs VALUES('2fec2e2c8e08413f8b6a28eb6a5e58d8','rate 0.1','UNKNOWN','','','ada','FINISHED',1795970075934,1795970076207,'','active','@FOLDER@/mlruns/1/2fec2e2c8e08413f8b6a28eb6a5e58d8/artifacts',1,NULL);
INSERT INTO runs VALUES('1c46da1ab4894c20b2ae06d94288069c','rate 0.3','UNKNOWN','','','ada','FINISHED',1795970076245,1795970076424,'','active','@FOLDER@/mlruns/1/1c46da1ab4894c20b2ae06d94288069c/artifacts',1,NULL);
INSERT INTO runs VALUES('4a5e9ec9ed4648babdd17b10d7343a82','luxuriant-bird-351','UNKNOWN','','','ada','FAILED',1795970076444,1795970076507,'','active','@FOLDER@/mlruns/1/4a5e9ec9ed4648babdd17b10d7343a82/artifacts',1,NULL);
CREATE TABLE IF NOT EXISTS "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO params VALUES('rate','0.1','2fec2e2c8e08413f8b6a28eb6a5e58d8');
INSERT INTO params VALUES('depth','3','2fec2e2c8e08413f8b6a28eb6a5e58d8');
INSERT INTO params VALUES('rate','0.3','1c46da1ab4894c20b2ae06d94288069c');
INSERT INTO params VALUES('depth','3','1c46da1ab4894c20b2ae06d94288069c');
CREATE TABLE IF NOT EXISTS "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO metrics VALUES('loss',1.1000000000000000888,1795970076060,'2fec2e2c8e08413f8b6a28eb6a5e58d8',0,0);
INSERT INTO metrics VALUES('loss',0.59999999999999997779,1795970076091,'2fec2e2c8e08413f8b6a28eb6a5e58d8',1,0);
INSERT INTO metrics VALUES('loss',0.43333333333333334813,1795970076117,'2fec2e2c8e08413f8b6a28eb6a5e58d8',2,0);
INSERT INTO metrics VALUES('loss',1.3000000000000000444,1795970076327,'1c46da1ab4894c20b2ae06d94288069c',0,0);
INSERT INTO metrics VALUES('loss',0.8000000000000000444,1795970076338,'1c46da1ab4894c20b2ae06d94288069c',1,0);
INSERT INTO metrics VALUES('loss',0.63333333333333330372,1795970076366,'1c46da1ab4894c20b2ae06d94288069c',2,0);
INSERT INTO metrics VALUES('loss',0.0,1795970076483,'4a5e9ec9ed4648babdd17b10d7343a82',0,1);
CREATE TABLE IF NOT EXISTS "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO tags VALUES('mlflow.runName','rate 0.1','2fec2e2c8e08413f8b6a28eb6a5e58d8');
INSERT INTO tags VALUES('team','ops','2fec2e2c8e08413f8b6a28eb6a5e58d8');
INSERT INTO tags VALUES('mlflow.runName','rate 0.3','1c46da1ab4894c20b2ae06d94288069c');
INSERT INTO tags VALUES('team','ops','1c46da1ab4894c20b2ae06d94288069c');
INSERT INTO tags VALUES('mlflow.runName','luxuriant-bird-351','4a5e9ec9ed4648babdd17b10d7343a82');
