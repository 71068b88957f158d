CREATE TABLE "runs" (
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
CREATE TABLE "metrics" (
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
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE "experiments" (
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
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "experiments" VALUES(0,'Default','/tmp/mlt/mlruns/0','active',1795996636532,1795996636532,'default');
INSERT INTO "experiments" VALUES(1,'delay','file:///tmp/mlt/mlartifacts','active',1795996636557,1795996636557,'default');
INSERT INTO "metrics" VALUES('loss',0.9,1795996640344,'ab59eece141b406f8fbb3a5565d79bd9',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1795996640402,'ab59eece141b406f8fbb3a5565d79bd9',1,0);
INSERT INTO "metrics" VALUES('loss',0.0,1795996640461,'ab59eece141b406f8fbb3a5565d79bd9',2,1);
INSERT INTO "metrics" VALUES('loss',1.79769313486231562234e+308,1795996640504,'ab59eece141b406f8fbb3a5565d79bd9',3,0);
INSERT INTO "metrics" VALUES('auc',0.7,1795996640547,'ab59eece141b406f8fbb3a5565d79bd9',0,0);
INSERT INTO "model_versions" VALUES('delay',1,1795996641081,1795996641081,NULL,NULL,'None','file:///tmp/mlt/mlartifacts/ab59eece141b406f8fbb3a5565d79bd9/artifacts/model','ab59eece141b406f8fbb3a5565d79bd9','READY',NULL,NULL,'file:///tmp/mlt/mlartifacts/ab59eece141b406f8fbb3a5565d79bd9/artifacts/model','default');
INSERT INTO "model_versions" VALUES('delay',2,1795996641240,1795996641240,NULL,NULL,'None','file:///etc','ab59eece141b406f8fbb3a5565d79bd9','READY',NULL,NULL,'file:///etc','default');
INSERT INTO "params" VALUES('rate','0.1','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "params" VALUES('layers','2','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "params" VALUES('rate','0.2','a77e1613d8104176a894fbbc4a635978');
INSERT INTO "registered_model_aliases" VALUES('champion',1,'delay','default');
INSERT INTO "registered_models" VALUES('delay',1795996641055,1795996641240,NULL,'default');
INSERT INTO "runs" VALUES('ab59eece141b406f8fbb3a5565d79bd9','first','UNKNOWN','','','ada','FINISHED',1795996640079,1795996640692,'','active','file:///tmp/mlt/mlartifacts/ab59eece141b406f8fbb3a5565d79bd9/artifacts',1,NULL);
INSERT INTO "runs" VALUES('a77e1613d8104176a894fbbc4a635978','second','UNKNOWN','','','ada','FAILED',1795996640740,1795996640845,'','active','file:///tmp/mlt/mlartifacts/a77e1613d8104176a894fbbc4a635978/artifacts',1,NULL);
INSERT INTO "runs" VALUES('a0b402d53a0b457b8d65362c3eb65204','gone','UNKNOWN','','','ada','FINISHED',1795996640875,1795996640918,'','deleted','file:///tmp/mlt/mlartifacts/a0b402d53a0b457b8d65362c3eb65204/artifacts',1,1795996640956);
INSERT INTO "tags" VALUES('mlflow.user','ada','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "tags" VALUES('mlflow.source.name','/tmp/mktrack.py','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "tags" VALUES('mlflow.runName','first','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "tags" VALUES('team','flights','ab59eece141b406f8fbb3a5565d79bd9');
INSERT INTO "tags" VALUES('mlflow.user','ada','a77e1613d8104176a894fbbc4a635978');
INSERT INTO "tags" VALUES('mlflow.source.name','/tmp/mktrack.py','a77e1613d8104176a894fbbc4a635978');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','a77e1613d8104176a894fbbc4a635978');
INSERT INTO "tags" VALUES('mlflow.runName','second','a77e1613d8104176a894fbbc4a635978');
INSERT INTO "tags" VALUES('mlflow.user','ada','a0b402d53a0b457b8d65362c3eb65204');
INSERT INTO "tags" VALUES('mlflow.source.name','/tmp/mktrack.py','a0b402d53a0b457b8d65362c3eb65204');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','a0b402d53a0b457b8d65362c3eb65204');
INSERT INTO "tags" VALUES('mlflow.runName','gone','a0b402d53a0b457b8d65362c3eb65204');
